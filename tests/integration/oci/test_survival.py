"""Either process dies, the containers do not notice: no line lost or doubled, no exit code lost."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from host.spawn import IGNORED
from oci.cli import CliRuntime
from oci.monitor.client import Monitor
from oci.monitor.exec_sync import exec_sync
from oci.monitor.types import MonitorUnavailable
from oci.runtime import RuntimeFailed, RuntimeTimedOut
from tests.harness.patience import patient
from tests.harness.processes import has_ended, lock_holder, smaps_kib, with_words
from tests.harness.runtimes import RUNTIMES
from tests.harness.until import until
from tests.integration.oci.conftest import Workshop, end, keepers, log_writers, monitor_pid, process

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
    first = await monitor_pid(workshop.directory)
    end(first)
    async with await workshop.monitor.attach(short, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        codes = await all_exit(workshop, [*ids, short])
    assert codes == {short: 42} | dict.fromkeys(ids, 0)
    assert await monitor_pid(workshop.directory) != first
    for container_id in ids:
        assert workshop.log_text(container_id) == numbers(LINES)
    assert workshop.log_text(short) == b"bye\n"


@pytest.mark.parametrize("killed", ["writer", "monitor"])
@pytest.mark.parametrize("terminal", [False, True])
async def test_an_unfinished_line_is_ended_by_a_successor(
    workshop: Workshop, killed: str, terminal: bool
) -> None:
    script = "printf 'password: '; while ! read x; do sleep 0.05; done; exit 3"
    container_id = await workshop.run("/bin/sh", "-c", script, terminal=terminal, stdin=True)
    path = workshop.log_path(container_id)
    async with asyncio.timeout(60):
        while not path.read_bytes().endswith(b" P password: \n"):
            await asyncio.sleep(0.02)
    monitor = await monitor_pid(workshop.directory)
    for pid in [monitor] if killed == "monitor" else log_writers(monitor):
        end(pid)
    await workshop.monitor.list()  # by its successor
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    assert (await workshop.exit_of(container_id)).exit_code == 137
    first, last = path.read_bytes().splitlines()
    assert first.endswith(b" stdout P password: ")
    assert last.endswith(b" stdout F ")


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
        pid = await monitor_pid(workshop.directory)
        os.kill(pid, signal.SIGSTOP)  # it reaps nothing from here on
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        (init,) = [record.pid for record in records]
        await until(lambda: has_ended(init))
        end(pid)
        exited = await workshop.exit_of(container_id)
    assert exited.exit_code == 23
    assert workshop.log_text(container_id) == b"last\n"


async def test_a_log_that_cannot_be_opened_costs_no_container_its_monitor(workshop: Workshop) -> None:
    script = "read x; echo said $x; exit 5"
    lost, kept = [await workshop.run("/bin/sh", "-c", script, stdin=True) for _ in range(2)]
    away = workshop.logs.rename(workshop.directory / "away")
    end(await monitor_pid(workshop.directory))
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
    pid = await monitor_pid(workshop.directory)
    connection = workshop.monitor._link._connection
    assert connection is not None
    connection._sock.shutdown(socket.SHUT_RDWR)
    while workshop.monitor._link._connection is connection:
        await asyncio.sleep(0.01)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        assert (await workshop.exit_of(container_id)).exit_code == 6
    assert await monitor_pid(workshop.directory) == pid


async def test_exec_outlives_its_monitor(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "echo begun; sleep 1; echo done; exit 4")
    task = asyncio.create_task(exec_sync(workshop.monitor, container_id, workshop.runtime, what))
    while not any(one._pid for one in workshop.monitor._execs.all()):
        await asyncio.sleep(0.01)
    end(await monitor_pid(workshop.directory))
    done = await task
    assert (done.exit_code, done.stdout) == (4, b"begun\ndone\n")
    again = await exec_sync(workshop.monitor, container_id, workshop.runtime, process("/bin/echo", "works"))
    assert again.stdout == b"works\n"


async def replaced(workshop: Workshop) -> None:
    """The monitor is killed, and another has taken over."""
    end(await monitor_pid(workshop.directory))
    await until(lambda: not workshop.monitor._link._connected.is_set())
    await workshop.monitor.list()


async def test_the_deadline_of_an_exec_outlives_its_monitor(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "echo begun; sleep 5432; true")
    task = asyncio.create_task(
        exec_sync(workshop.monitor, container_id, workshop.runtime, what, timeout_s=patient(4))
    )
    await until(lambda: with_words("sleep", "5432"))
    await replaced(workshop)
    done = await task
    assert (done.timed_out, done.stdout) == (True, b"begun\n")
    await until(lambda: not with_words("sleep", "5432"))


async def test_an_exec_can_be_killed_when_its_monitor_is_gone(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "sleep 5433; true")
    async with await workshop.monitor.exec(container_id, workshop.runtime, what) as handle:
        await until(lambda: with_words("sleep", "5433"))
        await replaced(workshop)
    assert (await handle.wait()).exit_code == 137
    await until(lambda: not with_words("sleep", "5433"))


async def test_an_exec_ends_with_the_daemon_that_asked_for_it(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    daemon = await Monitor.connect(workshop.directory)
    handle = await daemon.exec(container_id, workshop.runtime, process("/bin/sleep", "5434"))
    await until(lambda: with_words("/bin/sleep", "5434"))
    await daemon.close()
    handle.close()
    await until(lambda: not with_words("/bin/sleep", "5434"))
    assert [record.state for record in await workshop.monitor.list()] == ["running"]


async def test_an_exec_outlives_a_lost_connection(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "sleep 5; exit 4")  # longer than an exec may be without its daemon
    task = asyncio.create_task(exec_sync(workshop.monitor, container_id, workshop.runtime, what))
    await until(lambda: any(one._pid for one in workshop.monitor._execs.all()))
    connection = workshop.monitor._link._connection
    assert connection is not None
    connection._sock.shutdown(socket.SHUT_RDWR)
    assert (await task).exit_code == 4


# A script in the place of the program stops it where it is wanted; for what runs none see test_inside.py.
by_a_program = pytest.mark.parametrize("runtime", RUNTIMES, indirect=True)


class Slow:
    """A runtime that waits within one verb, before or after it does its work, until it is let go."""

    def __init__(self, workshop: Workshop, verb: str, when: str, instead: str = "") -> None:
        self._path = workshop.directory / f"slow-{workshop.runtime.kind}"
        wait = f"touch {self._path}.begun; while [ ! -e {self._path}.go ]; do sleep 0.02; done"
        real = instead or f'{workshop.runtime.path} "$@"'
        work = f"{wait}; {real}; exit" if when == "before" else f"{real}; code=$?; {wait}; exit $code"
        is_it = f'for a; do [ "$a" = {verb} ] && {{ {work}; }}; done'
        self._path.write_text(f'#!/bin/sh\n{is_it}\nexec {workshop.runtime.path} "$@"\n')
        self._path.chmod(0o755)
        assert isinstance(workshop.runtime, CliRuntime)
        self.runtime = replace(workshop.runtime, path=self._path)

    async def begun(self) -> None:
        await until(Path(f"{self._path}.begun").exists)

    def go(self) -> None:
        Path(f"{self._path}.go").touch()

    def commands(self) -> list[int]:
        return with_words(str(self._path))


@by_a_program
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_start_is_answered_by_what_became_of_it(workshop: Workshop, when: str) -> None:
    container_id = await workshop.create("/bin/sh", "-c", "sleep 1; exit 9")
    slow = Slow(workshop, "start", when)
    starting = asyncio.create_task(workshop.monitor.start(container_id, slow.runtime))
    await slow.begun()
    await replaced(workshop)
    slow.go()
    await starting
    assert (await workshop.exit_of(container_id)).exit_code == 9
    [record] = await workshop.monitor.list()
    assert record.started_at_ns > 0


@by_a_program
async def test_a_start_that_fails_after_its_monitor_died_fails_in_the_runtimes_words(
    workshop: Workshop,
) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    entry = json.dumps({"msg": "odd", "level": "error"})
    words = f"""for b; do case "$b" in --log=*) echo '{entry}' > "${{b#--log=}}"; esac; done"""
    slow = Slow(workshop, "start", "before", f"{words}; false")
    starting = asyncio.create_task(workshop.monitor.start(container_id, slow.runtime))
    await slow.begun()
    await replaced(workshop)
    slow.go()
    with pytest.raises(RuntimeFailed, match="odd"):
        await starting
    assert [record.state for record in await workshop.monitor.list()] == ["created"]


async def test_a_start_that_no_monitor_began_is_begun_by_the_next(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sh", "-c", "exit 9")
    os.kill(pid := await monitor_pid(workshop.directory), signal.SIGSTOP)
    starting = asyncio.create_task(workshop.monitor.start(container_id, workshop.runtime))
    await asyncio.sleep(0.1)
    end(pid)
    await starting
    assert (await workshop.exit_of(container_id)).exit_code == 9


@by_a_program
async def test_a_start_keeps_its_deadline_when_its_monitor_dies(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    slow = Slow(workshop, "start", "before")
    starting = asyncio.create_task(workshop.monitor.start(container_id, slow.runtime, timeout_s=2))
    await slow.begun()
    await replaced(workshop)
    with pytest.raises(RuntimeTimedOut):
        await starting
    await until(lambda: not slow.commands())  # SIGKILL is a matter of microseconds for each of a group


@by_a_program
@pytest.mark.parametrize("when", ["before", "after"])
async def test_nothing_of_a_create_runs_on_when_its_monitor_has_died(workshop: Workshop, when: str) -> None:
    slow = Slow(workshop, "create", when)
    real, workshop.runtime = workshop.runtime, slow.runtime
    creating = asyncio.create_task(workshop.create("/bin/sleep", "600"))
    await slow.begun()
    end(await monitor_pid(workshop.directory))
    with pytest.raises(MonitorUnavailable):
        await creating
    await until(lambda: not slow.commands())
    workshop.runtime = real
    await real.delete(workshop.ids[0], force=True)
    assert await real.state(workshop.ids[0]) is None
    assert await workshop.monitor.list() == []


@by_a_program
async def test_an_exec_whose_command_outlives_the_monitor_is_what_was_asked_for(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    slow = Slow(workshop, "exec", "before")
    what = process("/bin/sh", "-c", "echo it; exit 4")
    task = asyncio.create_task(exec_sync(workshop.monitor, container_id, slow.runtime, what))
    await slow.begun()
    await replaced(workshop)
    slow.go()
    done = await task
    assert done.stdout == b"it\n"
    assert done.exit_code in (4, None)  # None: it ended before anybody could open it


@by_a_program
async def test_commands_of_a_daemon_and_a_monitor_that_both_died_are_ended(workshop: Workshop) -> None:
    slow = Slow(workshop, "create", "before")
    real, workshop.runtime = workshop.runtime, slow.runtime
    creating = asyncio.create_task(workshop.create("/bin/sleep", "600"))
    await slow.begun()
    workshop.monitor._link.closing()
    creating.cancel()
    pid = await monitor_pid(workshop.directory)
    end(pid)
    await asyncio.gather(creating, return_exceptions=True)
    await until(lambda: has_ended(pid))
    assert slow.commands()
    await workshop.monitor.close()
    workshop.monitor._link.reap()
    workshop.runtime = real
    workshop.monitor = await Monitor.connect(workshop.directory)
    await until(lambda: not slow.commands())
    created = await workshop.create("/bin/sleep", "600")  # which looks like a command that has not ended
    await workshop.monitor.settle()
    assert {one.id: one.state for one in await workshop.monitor.list()} == {created: "created"}


async def test_monitors_that_die_while_containers_end_cost_no_exit_code(workshop: Workshop) -> None:
    ids = [await workshop.run("/bin/sh", "-c", f"sleep {1 + n / 10}; exit {n}") for n in range(12)]
    for _ in range(4):
        pid = await monitor_pid(workshop.directory)
        end(pid)
        lock = workshop.directory / "monitor.lock"
        await until(lambda lock=lock, pid=pid: lock_holder(lock) not in (None, pid))  # type: ignore[misc]
    assert await all_exit(workshop, list(ids)) == {one: n for n, one in enumerate(ids)}


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


async def test_signals_do_not_end_a_monitor_with_containers_nor_reach_them(workshop: Workshop) -> None:
    script = "/bin/cat /proc/self/status; exec /bin/sleep 600"
    container_id = await workshop.run("/bin/sh", "-c", script)
    await until(lambda: b"\nSigCgt:" in workshop.log_text(container_id))
    ignored = int(workshop.log_text(container_id).split(b"SigIgn:\t")[1].split()[0], 16)
    assert [number for number in IGNORED if ignored >> (number - 1) & 1] == []
    pid = await monitor_pid(workshop.directory)
    for number in (signal.SIGTERM, *IGNORED):
        for process_id in (pid, *log_writers(pid)):
            os.kill(process_id, number)
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    assert (await workshop.exit_of(container_id)).exit_code == 137
    assert await monitor_pid(workshop.directory) == pid


async def test_a_daemon_that_ends_leaves_a_monitor_that_hangs_and_its_containers_alone(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    pid = await monitor_pid(workshop.directory)
    monkeypatch.setattr("oci.monitor.client._PARTING_S", 0.1)
    os.kill(pid, signal.SIGSTOP)
    await workshop.monitor.leave()
    assert f"the monitor does not answer, and is left alone pid={pid}" in caplog.text
    os.kill(pid, signal.SIGCONT)
    workshop.monitor = await Monitor.connect(workshop.directory)
    assert [record.id for record in await workshop.monitor.list()] == [container_id]
    assert await monitor_pid(workshop.directory) == pid


@pytest.mark.parametrize("runtime", ["crun"], indirect=True)  # the monitor's memory does not depend on it
async def test_many_containers_cost_one_small_process(workshop: Workshop) -> None:
    pid = await monitor_pid(workshop.directory)
    ids = [await workshop.run("/bin/sleep", "600") for _ in range(200)]
    done = await asyncio.gather(
        *(exec_sync(workshop.monitor, one, workshop.runtime, process("/bin/echo", one)) for one in ids)
    )
    assert [one.stdout.decode().strip() for one in done] == ids
    # What is its own; how much of the interpreter's file pages it shares depends on who else runs one.
    assert 0 < (smaps_kib(pid, "Anonymous") or 0) < 10 * 1024
    [writer] = log_writers(pid)
    assert 0 < (smaps_kib(writer, "Private_Dirty") or 0) < 8 * 1024  # the rest it shares with the monitor
    [keeper] = keepers(pid)
    assert 0 < (smaps_kib(keeper, "Private_Dirty") or 0) < 4 * 1024
