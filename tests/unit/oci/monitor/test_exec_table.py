"""Execs whose monitor died keep their deadline, can be killed, and their end is told."""

import asyncio
import os

import pytest

from oci.monitor.exec_table import Exec, Execs
from oci.monitor.types import ExecFinished
from tests.harness import processes


def started(execs: Execs, script: str, run_timeout_s: float = 0.0) -> Exec:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], dict(os.environ), setpgroup=0)
    one = execs.add(f"e{pid}", run_timeout_s)
    one.runs(pid, os.pidfd_open(pid))
    return one


async def end_of(one: Exec) -> ExecFinished:
    async with asyncio.timeout(60):
        return await one.finished


async def test_the_end_of_an_orphan_is_told_with_its_code() -> None:
    execs = Execs()
    one = started(execs, "exit 4")
    execs.each(Exec.orphaned)
    assert await end_of(one) == ExecFinished(4)
    await asyncio.sleep(0)
    assert len(execs) == 0


async def test_an_orphan_is_killed_at_its_deadline() -> None:
    one = started(Execs(), "exec sleep 1000", run_timeout_s=0.01)
    one.orphaned()
    assert await end_of(one) == ExecFinished(137, timed_out=True)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_holds_whether_the_monitor_died_before_or_after_it(when: str) -> None:
    one = started(Execs(), "exec sleep 1000")
    if when == "before":
        assert not one.kill()  # it is the monitor's to do
    one.orphaned()
    if when == "after":
        assert one.kill()
    assert await end_of(one) == ExecFinished(137)


async def test_another_monitor_is_told_pid_and_time_left() -> None:
    one = started(Execs(), "exec sleep 1000", run_timeout_s=500.0)
    assert one.adoption() is None  # its own monitor lives
    one.orphaned()
    adoption = one.adoption()
    assert adoption is not None
    request, [pidfd] = adoption
    assert 490 < request.left_s < 510
    assert f"Pid:\t{request.pid}\n" in processes.read("self", f"fdinfo/{pidfd}")
    one.kill()
    await end_of(one)
    assert one.adoption() is None


async def test_one_that_had_ended_before_its_monitor_could_open_it_does_not_stop_the_others() -> None:
    execs = Execs()
    one = execs.add("e", 0.0)
    one.runs(1 << 22, os.open(os.devnull, os.O_RDONLY))
    other = started(execs, "exit 4")
    execs.each(Exec.orphaned)
    assert await end_of(one) == ExecFinished(None)
    assert await end_of(other) == ExecFinished(4)
