"""Log writers that are killed, and file systems of logs that hang, are full or hide links: no line is lost or
doubled, and nobody waits but who has his log there."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ids import ContainerId
from oci.monitor.exec_sync import exec_sync
from oci.monitor.types import LogHung, LogRefused, MonitorFailed
from tests.harness.disks import Disk
from tests.harness.disks import disk as a_disk
from tests.harness.until import until_equal, until_no_more
from tests.integration.oci.conftest import (
    Workshop,
    end,
    holdings,
    joined,
    log_writers,
    monitor_pid,
    process,
)

pytestmark = pytest.mark.root
LINES = 150_000
SOME = 5000  # lines that fit into a pipe
ON_DEMAND = f"read x; /bin/seq {SOME}; read y; exit 3"


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


@pytest.fixture
def disk(workshop: Workshop, tmp_path: Path) -> Iterator[Disk]:
    """Goes before the workshop does, and its containers."""
    with a_disk(tmp_path) as made:
        yield made


@pytest.fixture
async def bystander(workshop: Workshop) -> ContainerId:
    """Prints on another file system all the time."""
    script = "i=1; while :; do echo $i; i=$((i+1)); sleep 0.02; done"
    return await workshop.run("/bin/sh", "-c", script)


async def until_log(workshop: Workshop, container_id: ContainerId, content: bytes) -> None:
    """One that was killed may have written a part of a line, which its successor takes back."""
    path = workshop.log_path(container_id)
    async with asyncio.timeout(60):
        while not (text := path.read_bytes()).endswith(b"\n") or joined(text) != content:
            await asyncio.sleep(0.02)


async def until_it_grows(path: Path) -> None:
    size = path.stat().st_size if path.exists() else 0
    async with asyncio.timeout(60):
        while not path.exists() or path.stat().st_size <= size:
            await asyncio.sleep(0.01)


async def tell(workshop: Workshop, container_id: ContainerId) -> None:
    """A line on its stdin."""
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")


async def until_stuck(workshop: Workshop, container_id: ContainerId) -> None:
    async with asyncio.timeout(60):
        while container_id not in [log.id for log in await workshop.monitor.stuck_logs(0.1)]:
            await asyncio.sleep(0.02)


async def all_others_go_on(workshop: Workshop, bystander: ContainerId) -> None:
    """Exec, create, start, exit, stop and logs of who has his log elsewhere."""
    workshop.log_timeout_s = 60  # those that come are in no hurry
    done = await exec_sync(workshop.monitor, bystander, workshop.runtime, process("/bin/echo", "well"))
    assert done.stdout == b"well\n"
    short = await workshop.run("/bin/sh", "-c", "echo bye; exit 9")
    assert (await workshop.exit_of(short)).exit_code == 9
    assert workshop.log_text(short) == b"bye\n"
    long = await workshop.run("/bin/sleep", "600")
    await workshop.monitor.signal(long, signal.SIGKILL)
    assert (await workshop.exit_of(long)).exit_code == 137
    await workshop.monitor.reopen_log(bystander)
    await until_it_grows(workshop.log_path(bystander))
    lines = workshop.log_text(bystander).split()
    assert lines == [b"%d" % number for number in range(1, len(lines) + 1)]


# --- killed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [0, 3, 7, 15, 40])
@pytest.mark.parametrize("with_monitor", [False, True])
async def test_a_writer_is_killed_while_containers_print(
    workshop: Workshop, delay_ms: int, with_monitor: bool
) -> None:
    ids = [await workshop.run("/bin/seq", str(LINES)) for _ in range(3)]
    while workshop.log_path(ids[-1]).stat().st_size < 1000:
        await asyncio.sleep(0.005)
    for _ in range(2):
        await asyncio.sleep(delay_ms / 1000)
        monitor = await monitor_pid(workshop.directory)
        for writer in log_writers(monitor):
            end(writer)
        if with_monitor:
            end(monitor)
            await workshop.monitor.list()
    async with asyncio.timeout(60):
        while any(record.state != "exited" for record in await workshop.monitor.list()):
            await asyncio.sleep(0.02)
    assert [record.exit_code for record in await workshop.monitor.list()] == [0, 0, 0]
    for container_id in ids:
        assert workshop.log_text(container_id) == numbers(LINES)


async def test_a_writer_that_dies_ends_attachments_and_new_ones_work(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "while read x; do echo $x; done", stdin=True)
    reading, writing = os.pipe()
    attachment = await workshop.monitor.attach(container_id, stdout=writing)
    os.close(writing)
    for writer in log_writers(await monitor_pid(workshop.directory)):
        end(writer)
    assert await asyncio.to_thread(os.read, reading, 100) == b""
    await attachment.close()
    os.close(reading)
    await tell(workshop, container_id)
    await until_log(workshop, container_id, b"go\n")
    reading, writing = os.pipe()
    async with await workshop.monitor.attach(container_id, stdout=writing):
        os.close(writing)
        await tell(workshop, container_id)
        assert await asyncio.to_thread(os.read, reading, 100) == b"go\n"
    os.close(reading)


# --- frozen -------------------------------------------------------------------------------------------


async def test_a_frozen_disk_holds_up_its_own_logs_alone(
    workshop: Workshop, disk: Disk, bystander: ContainerId
) -> None:
    workshop.log_timeout_s = 0.5
    held = await workshop.run("/bin/sh", "-c", ON_DEMAND, stdin=True, place=disk.path)
    ending = await workshop.run("/bin/sh", "-c", ON_DEMAND, stdin=True, place=disk.path)
    monitor = await monitor_pid(workshop.directory)
    before = holdings(monitor)
    disk.freeze()
    await tell(workshop, held)
    await until_stuck(workshop, held)
    await all_others_go_on(workshop, bystander)

    workshop.log_timeout_s = 0.5
    with pytest.raises(LogHung, match=rf"{disk.path}/.*has not answered"):
        await workshop.create("/bin/true", place=disk.path)
    with pytest.raises(LogHung, match=str(workshop.log_path(held))):
        await workshop.monitor.reopen_log(held)
    await until_no_more(lambda: holdings(monitor), before)

    for _ in range(2):
        await tell(workshop, ending)
    assert (await workshop.exit_of(ending)).exit_code == 3  # though its log is not complete
    await workshop.monitor.forget(ending)
    await all_others_go_on(workshop, bystander)

    disk.thaw()
    await until_log(workshop, held, numbers(SOME))
    await until_log(workshop, ending, numbers(SOME))
    await tell(workshop, held)
    assert (await workshop.exit_of(held)).exit_code == 3
    assert await workshop.monitor.stuck_logs(5) == []
    well = await workshop.run("/bin/echo", "well", place=disk.path)
    await workshop.exit_of(well)
    assert workshop.log_text(well) == b"well\n"


@pytest.mark.parametrize("killed", ["writer", "monitor", "both"])
async def test_killed_while_the_disk_is_frozen(
    workshop: Workshop, disk: Disk, bystander: ContainerId, killed: str
) -> None:
    """The writer cannot die before the disk is thawed, and may go on writing until then."""
    held = await workshop.run("/bin/sh", "-c", ON_DEMAND, stdin=True, place=disk.path)
    disk.freeze()
    await tell(workshop, held)
    await until_stuck(workshop, held)
    monitor = await monitor_pid(workshop.directory)
    if killed != "monitor":
        for writer in log_writers(monitor):
            end(writer)
    if killed != "writer":
        end(monitor)
        await workshop.monitor.list()  # by its successor
    await all_others_go_on(workshop, bystander)
    disk.thaw()
    await until_log(workshop, held, numbers(SOME))
    await tell(workshop, held)
    assert (await workshop.exit_of(held)).exit_code == 3
    assert workshop.log_text(held) == numbers(SOME)


async def prepared(workshop: Workshop, directory: Path) -> int | None:
    """None while the call before is on its way back."""
    with contextlib.suppress(LogHung):
        return await workshop.monitor.prepare_logs(directory, 60)
    return None


async def test_directories_on_a_frozen_disk_hold_up_those_who_want_them_there_alone(
    workshop: Workshop, disk: Disk, tmp_path: Path
) -> None:
    monitor = workshop.monitor
    disk.freeze()
    for _ in range(3):  # the first hangs until then; those after it are not let to
        with pytest.raises(LogHung, match=f"{disk.path}/pod has not answered"):
            await monitor.prepare_logs(disk.path / "pod", 0.2)
    serving = await monitor_pid(workshop.directory)
    helpers = len(log_writers(serving))
    assert await monitor.prepare_logs(tmp_path / "pod/main", 60) == tmp_path.stat().st_dev
    assert await monitor.settle_logs(tmp_path / "pod", 60) == tmp_path / "pod"
    await until_equal(lambda: len(log_writers(serving)), helpers + 1)
    disk.thaw()
    async with asyncio.timeout(60):
        while (device := await prepared(workshop, disk.path / "pod")) is None:
            await asyncio.sleep(0.01)
    assert device == disk.path.stat().st_dev
    assert await asyncio.gather(*(monitor.prepare_logs(tmp_path / "pod/two", 60) for _ in range(5)))
    many = [tmp_path / f"pods/{number}" for number in range(200)]
    assert await asyncio.gather(*(monitor.prepare_logs(one, 60) for one in many)) == [
        tmp_path.stat().st_dev
    ] * len(many)
    assert len(list((tmp_path / "pods").iterdir())) == len(many)
    for helper in log_writers(serving):
        end(helper)
    await monitor.remove_logs(tmp_path / "pod", 60)
    assert not (tmp_path / "pod").exists()


# --- full ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", ["nobody", "writer", "monitor"])
async def test_a_full_disk_holds_up_its_own_logs_alone(
    workshop: Workshop, disk: Disk, bystander: ContainerId, killed: str
) -> None:
    """Both the chunk that was read and what the pipe holds are written when there is room again."""
    workshop.log_timeout_s = 0.5
    lines = 60_000  # more than a pipe holds
    script = f"read x; /bin/seq {lines}; exit 3"
    held = await workshop.run("/bin/sh", "-c", script, stdin=True, place=disk.path)
    few = await workshop.run("/bin/sh", "-c", ON_DEMAND, stdin=True, place=disk.path)
    disk.fill()
    for container_id in (held, few):
        await tell(workshop, container_id)
        await until_stuck(workshop, container_id)
    monitor = await monitor_pid(workshop.directory)
    if killed == "writer":
        for writer in log_writers(monitor):
            end(writer)
    if killed == "monitor":
        end(monitor)
        await workshop.monitor.list()  # by its successor
    await all_others_go_on(workshop, bystander)
    assert all(log.is_refused for log in await workshop.monitor.stuck_logs(0.1))
    await tell(workshop, few)
    assert (await workshop.exit_of(few)).exit_code == 3  # though its log is not complete
    disk.empty()
    assert (await workshop.exit_of(held)).exit_code == 3
    assert workshop.log_text(held) == numbers(lines)
    await until_log(workshop, few, numbers(SOME))


# --- links --------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    return made


async def test_no_log_is_made_behind_a_link(workshop: Workshop, outside: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(outside)
    with pytest.raises(LogRefused, match=f"symbolic link.*{link}"):
        await workshop.create("/bin/true", place=link)
    assert list(outside.iterdir()) == []


async def test_reopening_and_recovery_write_nothing_behind_a_link(workshop: Workshop, outside: Path) -> None:
    """The container owns its log directory, by a hostPath, and puts a link in its place."""
    container_id = await workshop.run("/bin/sh", "-c", "while read x; do echo $x; done", stdin=True)
    before = workshop.logs.rename(workshop.directory / "before")
    workshop.logs.symlink_to(outside)
    with pytest.raises(LogRefused, match=str(workshop.logs)):
        await workshop.monitor.reopen_log(container_id)
    await tell(workshop, container_id)
    async with asyncio.timeout(60):
        while joined((before / f"{container_id}.log").read_bytes()) != b"go\n":
            await asyncio.sleep(0.02)
    end(await monitor_pid(workshop.directory))
    await tell(workshop, container_id)
    await until_stuck(workshop, container_id)
    assert list(outside.iterdir()) == []
    workshop.logs.unlink()
    before.rename(workshop.logs)
    await until_log(workshop, container_id, b"go\ngo\n")


async def test_a_log_that_is_no_file_is_refused(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/cat", stdin=True)
    path = workshop.log_path(container_id)
    path.rename(path.with_suffix(".1"))
    os.mkfifo(path)
    with pytest.raises(MonitorFailed, match=f"not a regular file.*{path}"):
        await workshop.monitor.reopen_log(container_id)


# --- rate ---------------------------------------------------------------------------------------------


async def test_a_rate_loses_nothing_and_ends_with_the_container(workshop: Workshop) -> None:
    workshop.log_rate = 100_000
    container_id = await workshop.run("/bin/sh", "-c", f"/bin/seq {SOME}; /bin/seq {SOME}; exit 4")
    assert (await workshop.exit_of(container_id)).exit_code == 4
    assert workshop.log_text(container_id) == numbers(SOME) * 2
