"""Containers from create to forget, with real runtimes."""

import asyncio
import os
import re
import signal

import pytest

from api.ids import new_container_id
from oci.monitor.client import Monitor
from oci.monitor.exec_sync import exec_sync
from oci.monitor.types import MonitorFailed, NotLive, UnknownContainer
from oci.runtime import RuntimeFailed
from tests.harness import processes
from tests.harness.until import until
from tests.integration.oci.conftest import Workshop, monitor_pid, process

pytestmark = pytest.mark.root


async def test_output_goes_to_the_log_and_the_exit_code_comes_back(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    exited = await workshop.exit_of(container_id)
    assert (exited.exit_code, exited.oom_killed) == (7, False)
    assert workshop.log_text(container_id) == b"out\n"
    assert workshop.log_text(container_id, "stderr") == b"err\n"
    first = workshop.log_path(container_id).read_bytes().splitlines()[0]
    assert re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z std(out|err) F (out|err)$", first)
    assert workshop.log_path(container_id).stat().st_mode & 0o777 == 0o640


async def test_record_follows_the_container_through_its_states(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    (record,) = await workshop.monitor.list()
    assert (record.state, record.started_at_ns, record.exit_code) == ("created", 0, None)
    await workshop.monitor.start(container_id, workshop.runtime)
    (record,) = await workshop.monitor.list()
    assert record.state == "running"
    assert record.started_at_ns >= record.created_at_ns
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    exited = await workshop.exit_of(container_id)
    (record,) = await workshop.monitor.list()
    assert (record.state, record.exit_code, record.finished_at_ns) == ("exited", 137, exited.finished_at_ns)
    with pytest.raises(NotLive):
        await workshop.monitor.signal(container_id, signal.SIGTERM)
    await workshop.runtime.delete(container_id)
    await workshop.monitor.forget(container_id)
    assert await workshop.monitor.list() == []
    with pytest.raises(UnknownContainer):
        await workshop.monitor.signal(container_id, signal.SIGTERM)


async def test_a_failed_start_tells_the_runtimes_words(workshop: Workshop) -> None:
    with pytest.raises(RuntimeFailed, match=r"no-such-program.*(No such file|not found|no such file)"):
        await workshop.run("/bin/no-such-program")


async def test_a_failed_create_tells_the_runtimes_words(workshop: Workshop) -> None:
    container_id = new_container_id()
    bundle = workshop.bundle(container_id, process("/bin/true"))
    (bundle / "config.json").write_text("{}")
    workshop.logs.mkdir()
    with pytest.raises(RuntimeFailed) as failure:
        await workshop.create_from(bundle, container_id)
    assert len(failure.value.message) > 10
    assert "without a word" not in failure.value.message
    assert await workshop.monitor.list() == []


async def test_memory_limit_is_told(workshop: Workshop) -> None:
    eater = "x=0123456789abcdef; while :; do x=$x$x; done"
    container_id = await workshop.run("/bin/sh", "-c", eater, memory=16 << 20)
    exited = await workshop.exit_of(container_id)
    assert (exited.exit_code, exited.oom_killed) == (137, True)


async def test_terminal_is_logged_as_stdout_and_resized(workshop: Workshop) -> None:
    script = "tty; stty size; read x; stty size; echo got $x"
    container_id = await workshop.create("/bin/sh", "-c", script, terminal=True)
    await workshop.monitor.resize(container_id, 100, 30)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        await workshop.monitor.start(container_id, workshop.runtime)
        assert attachment.stdin is not None
        while b"30 100" not in workshop.log_path(container_id).read_bytes():
            await asyncio.sleep(0.01)
        await workshop.monitor.resize(container_id, 132, 43)
        os.write(attachment.stdin, b"word\n")
        exited = await workshop.exit_of(container_id)
    assert exited.exit_code == 0
    lines = workshop.log_text(container_id).replace(b"\r", b"").split(b"\n")
    assert lines[0].startswith(b"/dev/")
    assert [line for line in lines[1:] if line] == [b"30 100", b"word", b"43 132", b"got word"]


async def test_a_console_that_is_closed_and_opened_again_goes_on(workshop: Workshop) -> None:
    script = """
        echo one
        exec </dev/null >/dev/null 2>&1
        until [ -e /tmp/again ]; do sleep 0.02; done
        seq 3000 >/dev/console
        exit 7
    """
    container_id = await workshop.run("/bin/sh", "-c", script, terminal=True)
    while b"one" not in workshop.log_path(container_id).read_bytes():
        await asyncio.sleep(0.01)
    [record] = await workshop.monitor.list()
    await until(lambda: processes.link(record.pid, "fd/1") == "/dev/null")
    await workshop.monitor.resize(container_id, 100, 30)
    touch = process("/bin/sh", "-c", ": >/tmp/again")
    assert (await exec_sync(workshop.monitor, container_id, workshop.runtime, touch)).exit_code == 0
    assert (await workshop.exit_of(container_id)).exit_code == 7
    lines = workshop.log_text(container_id).replace(b"\r", b"").split(b"\n")
    assert lines[:-1] == [b"one", *(b"%d" % number for number in range(1, 3001))]


async def test_output_left_by_a_process_that_outlives_the_first_is_waited_for_briefly(
    workshop: Workshop,
) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "(echo late) & exit 3")
    assert (await workshop.exit_of(container_id)).exit_code == 3


async def test_two_hundred_kilobytes_without_a_newline_arrive_whole(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; printf 'end'")
    await workshop.exit_of(container_id)
    assert workshop.log_text(container_id) == b"x" * 200000 + b"end\n"
    longest = max(len(line) for line in workshop.log_path(container_id).read_bytes().splitlines())
    assert longest < 16384 + 64


async def test_log_is_cut_at_its_size_limit(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/seq", "20000", log_size_max=20000)
    await workshop.exit_of(container_id)
    log = workshop.log_path(container_id).read_bytes()
    assert log.endswith(b" F 20000\n")
    assert log.count(b"\n") < 20000


async def test_missing_log_directory_is_said_before_anything_is_made(workshop: Workshop) -> None:
    container_id = new_container_id()
    bundle = workshop.bundle(container_id, process("/bin/true"))
    with pytest.raises(MonitorFailed, match=r"No such file or directory: .*/logs/"):
        await workshop.create_from(bundle, container_id)
    assert await workshop.monitor.list() == []


async def test_two_daemons_cannot_start_two_monitors(workshop: Workshop) -> None:
    other = await Monitor.connect(workshop.directory)
    assert await monitor_pid(workshop.directory) > 0
    await other.close()
