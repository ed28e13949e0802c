"""Either process dies, the containers do not notice: no line lost or doubled, no exit code lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oci.monitor.client import Monitor
from oci.monitor.exec_sync import exec_sync
from tests.integration.oci.conftest import Workshop, end, log_writers, monitor_pid, process

pytestmark = pytest.mark.root
LINES = 150_000


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


async def started(workshop: Workshop, container_id: str) -> None:
    path = workshop.logs / f"{container_id}.log"
    while path.stat().st_size < 1000:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("delay_ms", [0, 3, 7, 15, 40])
async def test_monitor_is_killed_while_containers_print(workshop: Workshop, delay_ms: int) -> None:
    ids = [await workshop.run("/bin/seq", str(LINES)) for _ in range(3)]
    short = await workshop.run("/bin/sh", "-c", "read x; echo bye; exit 42", stdin=True, stdin_once=True)
    await started(workshop, ids[0])
    await asyncio.sleep(delay_ms / 1000)
    first = monitor_pid(workshop.directory)
    end(first)
    async with await workshop.monitor.attach(short, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        codes = await all_exit(workshop, [*ids, short])
    assert codes == {short: 42} | dict.fromkeys(ids, 0)
    assert monitor_pid(workshop.directory) != first
    for container_id in ids:
        assert workshop.log_text(container_id) == numbers(LINES)
    assert workshop.log_text(short) == b"bye\n"


async def all_exit(workshop: Workshop, ids: list[str]) -> dict[str, int | None]:
    """Every container's exit code, also of those that ended before we looked."""
    async with asyncio.timeout(60):
        while True:
            records = {record.id: record for record in await workshop.monitor.list()}
            if all(records[one].state == "exited" for one in ids):
                return {one: records[one].exit_code for one in ids}
            await asyncio.sleep(0.02)


async def test_exit_while_no_monitor_lives_is_learnt_from_the_kernel(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; echo last; exit 23", stdin=True)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        records = await workshop.monitor.list()
        pid = monitor_pid(workshop.directory)
        os.kill(pid, signal.SIGSTOP)  # it reaps nothing from here on
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        (init,) = [record.pid for record in records]
        while b"\nState:\tZ" not in Path(f"/proc/{init}/status").read_bytes():
            await asyncio.sleep(0.01)
        end(pid)
        exited = await workshop.exit_of(container_id)
    assert exited.exit_code == 23
    assert workshop.log_text(container_id) == b"last\n"


async def test_a_log_that_cannot_be_opened_costs_no_container_its_monitor(workshop: Workshop) -> None:
    script = "read x; echo said $x; exit 5"
    lost, kept = [await workshop.run("/bin/sh", "-c", script, stdin=True) for _ in range(2)]
    away = workshop.logs.rename(workshop.directory / "away")
    end(monitor_pid(workshop.directory))
    for container_id in (lost, kept):
        async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
            assert attachment.stdin is not None
            if container_id == kept:
                away.rename(workshop.logs)
            os.write(attachment.stdin, b"it\n")
            assert (await workshop.exit_of(container_id)).exit_code == 5
    assert workshop.log_text(lost) == b""
    assert workshop.log_text(kept) == b"said it\n"


async def test_only_the_connection_is_lost(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; exit 6", stdin=True)
    pid = monitor_pid(workshop.directory)
    connection = workshop.monitor._connection
    assert connection is not None
    connection._sock.shutdown(socket.SHUT_RDWR)
    while workshop.monitor._connection is connection:
        await asyncio.sleep(0.01)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        assert (await workshop.exit_of(container_id)).exit_code == 6
    assert monitor_pid(workshop.directory) == pid


async def test_exec_outlives_its_monitor(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "echo begun; sleep 1; echo done; exit 4")
    task = asyncio.create_task(exec_sync(workshop.monitor, container_id, workshop.runtime, what))
    while not workshop.monitor._handles:
        await asyncio.sleep(0.01)
    end(monitor_pid(workshop.directory))
    done = await task
    assert (done.exit_code, done.stdout) == (4, b"begun\ndone\n")
    again = await exec_sync(workshop.monitor, container_id, workshop.runtime, process("/bin/echo", "works"))
    assert again.stdout == b"works\n"


DAEMON = """
import asyncio, sys
from pathlib import Path
from oci.monitor.client import Monitor
async def main():
    monitor = await Monitor.connect(Path(sys.argv[1]))
    print("connected", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_daemon_is_killed_while_containers_print(workshop: Workshop) -> None:
    ids = [await workshop.run("/bin/seq", str(LINES)) for _ in range(3)]
    short = await workshop.run("/bin/sh", "-c", "sleep 0.3; exit 42")
    living = await workshop.run("/bin/sleep", "600")
    await workshop.monitor.close()
    daemon = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DAEMON,
        str(workshop.directory),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert daemon.stdout is not None
    assert await daemon.stdout.readline() == b"connected\n"
    daemon.kill()
    await daemon.wait()
    workshop.monitor = await Monitor.connect(workshop.directory)
    codes = await all_exit(workshop, [*ids, short])
    assert codes == {short: 42} | dict.fromkeys(ids, 0)
    states = {record.id: record.state for record in await workshop.monitor.list()}
    assert states[living] == "running"
    for container_id in ids:
        assert workshop.log_text(container_id) == numbers(LINES)
    done = await exec_sync(workshop.monitor, living, workshop.runtime, process("/bin/echo", "works"))
    assert done.stdout == b"works\n"


async def test_sigterm_does_not_end_a_monitor_with_containers(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    pid = monitor_pid(workshop.directory)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        os.kill(pid, number)
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    assert (await workshop.exit_of(container_id)).exit_code == 137
    assert monitor_pid(workshop.directory) == pid


async def test_a_daemon_that_ends_leaves_a_monitor_that_hangs_and_its_containers_alone(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    pid = monitor_pid(workshop.directory)
    monkeypatch.setattr("oci.monitor.client._PARTING_S", 0.1)
    os.kill(pid, signal.SIGSTOP)
    await workshop.monitor.leave()
    assert f"the monitor does not answer, and is left alone pid={pid}" in caplog.text
    os.kill(pid, signal.SIGCONT)
    workshop.monitor = await Monitor.connect(workshop.directory)
    assert [record.id for record in await workshop.monitor.list()] == [container_id]
    assert monitor_pid(workshop.directory) == pid


@pytest.mark.parametrize("runtime", ["crun"], indirect=True)  # the monitor's memory does not depend on it
async def test_many_containers_cost_one_small_process(workshop: Workshop) -> None:
    pid = monitor_pid(workshop.directory)
    ids = [await workshop.run("/bin/sleep", "600") for _ in range(200)]
    done = await asyncio.gather(
        *(exec_sync(workshop.monitor, one, workshop.runtime, process("/bin/echo", one)) for one in ids)
    )
    assert [one.stdout.decode().strip() for one in done] == ids
    # What is its own; how much of the interpreter's file pages it shares depends on who else runs one.
    assert memory_kib(pid, "Anonymous") < 10 * 1024
    [writer] = log_writers(pid)
    assert memory_kib(writer, "Private_Dirty") < 8 * 1024  # the rest it shares with the monitor


def memory_kib(pid: int, kind: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return int(dict(line.split(":", 1) for line in lines)[kind].split()[0])
