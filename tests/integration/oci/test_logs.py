"""Logs and attachments under rotation, load and full disks."""

import asyncio
import os
import signal
import subprocess

import pytest

from cri.streaming.descriptors import write_all
from oci.monitor.types import NotLive
from tests.integration.oci.conftest import Workshop, joined

pytestmark = pytest.mark.root
LINES = 60_000


def command(argv: list[str]) -> None:
    subprocess.run(argv, check=True)


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


async def test_rotation_under_load_loses_and_doubles_nothing(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/seq", str(LINES))
    path = workshop.log_path(container_id)
    await workshop.monitor.start(container_id, workshop.runtime)
    parts = []
    for number in range(8):
        rotated = path.with_suffix(f".{number}")
        path.rename(rotated)
        parts.append(rotated)
        try:
            await workshop.monitor.reopen_log(container_id)
        except NotLive:  # it has ended: the kubelet renames back then
            rotated.rename(path)
            parts.pop()
            break
        assert path.exists()
    if (await workshop.monitor.list())[0].state != "exited":
        await workshop.exit_of(container_id)
    assert joined(b"".join(part.read_bytes() for part in [*parts, path])) == numbers(LINES)


async def test_full_disk_delays_a_log_and_nobody_elses(workshop: Workshop) -> None:
    workshop.logs.mkdir()
    command(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(workshop.logs)])
    try:
        container_id = await workshop.run("/bin/seq", "20000")
        path = workshop.log_path(container_id)
        while path.stat().st_size < 40000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        command(["mount", "-o", "remount,size=4m", str(workshop.logs)])
        assert (await workshop.exit_of(container_id)).exit_code == 0
        assert workshop.log_text(container_id) == numbers(20000)
    finally:
        await workshop.clean_up()
        command(["umount", str(workshop.logs)])


async def test_attachment_gets_what_the_log_gets_and_its_end(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/seq", str(LINES))
    reading, writing = os.pipe()
    attachment = await workshop.monitor.attach(container_id, stdout=writing)
    os.close(writing)
    await workshop.monitor.start(container_id, workshop.runtime)
    content = await asyncio.to_thread(read_to_the_end, reading)
    assert content == numbers(LINES)
    if (await workshop.monitor.list())[0].state != "exited":
        await workshop.exit_of(container_id)
    assert workshop.log_text(container_id) == content
    await attachment.close()


def read_to_the_end(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


async def test_attachment_that_reads_nothing_holds_the_container_until_it_goes(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/seq", "500000")
    reading, writing = os.pipe()
    attachment = await workshop.monitor.attach(container_id, stdout=writing)
    os.close(writing)
    other = await workshop.run("/bin/echo", "free")
    assert (await workshop.exit_of(other)).exit_code == 0
    await workshop.monitor.start(container_id, workshop.runtime)
    while workshop.log_path(container_id).stat().st_size < 65536:
        await asyncio.sleep(0.01)
    (record,) = [one for one in await workshop.monitor.list() if one.id == container_id]
    assert record.state == "running"
    os.close(reading)
    await attachment.close()
    await workshop.exit_of(container_id)
    assert workshop.log_text(container_id) == numbers(500000)


@pytest.mark.parametrize("once", [True, False])
async def test_stdin_once_ends_with_the_attachment(workshop: Workshop, once: bool) -> None:
    container_id = await workshop.run("/bin/cat", stdin=True, stdin_once=once)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"first\n")
    if not once:
        async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
            assert attachment.stdin is not None
            os.write(attachment.stdin, b"second\n")
        await workshop.monitor.close_stdin(container_id)
    assert (await workshop.exit_of(container_id)).exit_code == 0
    assert workshop.log_text(container_id) == (b"first\n" if once else b"first\nsecond\n")


async def test_bytes_pass_unchanged(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/cat", stdin=True, stdin_once=True)
    content = bytes(range(256)) * 300
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        await write_all(attachment.stdin, content)
    await workshop.exit_of(container_id)
    assert workshop.log_text(container_id) == content + b"\n"  # the end of a stream ends its line


@pytest.mark.parametrize(
    ("script", "text"),
    [("printf last", b"last\n"), ("echo last", b"last\n"), ("true", b""), ("echo; printf x", b"\nx\n")],
)
async def test_a_log_ends_with_a_whole_line(workshop: Workshop, script: str, text: bytes) -> None:
    container_id = await workshop.run("/bin/sh", "-c", script)
    await workshop.exit_of(container_id)
    assert workshop.log_text(container_id) == text


async def test_signal_reaches_the_first_process(workshop: Workshop) -> None:
    container_id = await workshop.run(
        "/bin/sh", "-c", "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    )
    while b"ready" not in workshop.log_text(container_id):
        await asyncio.sleep(0.01)
    await workshop.monitor.signal(container_id, signal.SIGTERM)
    assert (await workshop.exit_of(container_id)).exit_code == 9
    assert workshop.log_text(container_id) == b"ready\nterm\n"
