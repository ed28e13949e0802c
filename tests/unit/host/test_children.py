"""host/children: orphans are reaped, and nobody else's children."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from host import children
from host.children import Orphans, Zombie, held_pids, zombies
from host.processes import run
from host.spawn import PR_SET_CHILD_SUBREAPER, prctl
from tests.harness.processes import is_there

# Starts a process that goes on alone, says its pid, and ends.
LEAVES_AN_ORPHAN = (
    "import os,sys\n"
    "r, w = os.pipe()\n"
    "pid = os.fork()\n"
    "if not pid:\n"
    "    os.close(w); os.read(r, 1); os._exit(7)\n"
    "print(pid, flush=True)\n"
)


@pytest.fixture(autouse=True)
def _subreaper() -> Iterator[None]:
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


def ended(pid: int) -> None:
    """Wait until ``pid``, a child of ours, is a zombie, and leave it so."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def pids(found: list[Zombie]) -> set[int]:
    return {zombie.pid for zombie in found}


def orphan() -> int:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LEAVES_AN_ORPHAN], capture_output=True, timeout=60, check=True
    )
    pid = int(done.stdout)
    ended(pid)  # its parent has ended and with it the pipe's other end
    return pid


def child() -> int:
    return os.posix_spawn("/bin/true", ["true"], {})


def test_an_orphan_is_reaped_when_it_has_been_a_zombie_for_its_time() -> None:
    pid = orphan()
    orphans = Orphans(age_s=60)
    assert pid not in pids(orphans.look(1000))
    assert pid not in pids(orphans.look(1059.9))
    assert pid in pids(zombies())
    assert pid in pids(orphans.look(1060))
    assert pid not in pids(zombies())
    assert not is_there(pid)


async def test_the_end_of_an_orphan_is_when_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_S", "_AGAIN_S"):
        monkeypatch.setattr(children, name, 1e6)  # not by chance
    watching = asyncio.create_task(Orphans(age_s=0.05).watch())
    await asyncio.sleep(0)
    pid = orphan()
    async with asyncio.timeout(60):
        while is_there(pid):
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_a_zombie_that_somebody_waits_for_is_not_looked_at_all_the_time() -> None:
    pid = child()
    pidfd = os.pidfd_open(pid)
    try:
        ended(pid)
        orphans = Orphans(age_s=0.5)
        orphans.look(1000)
        assert orphans._patience_s(1000.1) == pytest.approx(0.4)
        orphans.look(1000.5)
        assert orphans._patience_s(1000.5) == children._AGAIN_S
    finally:
        os.waitpid(pid, 0)
        os.close(pidfd)


async def test_orphans_that_the_kernel_does_not_list_are_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_children", lambda: iter(()))  # it may lack any while others end
    monkeypatch.setattr(children, "_LOOK_S", 1e6)
    monkeypatch.setattr(children, "_AGAIN_S", 0.05)
    left = [orphan(), orphan()]  # before anybody is there to hear of them
    watching = asyncio.create_task(Orphans(age_s=0.05).watch())
    async with asyncio.timeout(60):
        while any(map(is_there, left)):
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_a_child_that_somebody_holds_a_pidfd_of_is_his_for_ever() -> None:
    pid = child()
    pidfd = os.pidfd_open(pid)
    try:
        ended(pid)
        orphans = Orphans(age_s=60)
        orphans.look(0)
        assert pid not in pids(orphans.look(10_000))
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        assert result is not None
        assert (result.si_pid, result.si_status) == (pid, 0)
    finally:
        os.close(pidfd)


def test_a_held_zombie_does_not_hide_an_orphan() -> None:
    held = child()
    pidfd = os.pidfd_open(held)
    try:
        ended(held)
        left = orphan()
        orphans = Orphans(age_s=60)
        orphans.look(0)
        reaped = pids(orphans.look(60))
        assert left in reaped
        assert held not in reaped
    finally:
        os.waitpid(held, 0)
        os.close(pidfd)


def test_a_living_child_is_no_zombie() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    try:
        assert pid not in pids(zombies())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_zombie_that_its_waiter_took_is_forgotten() -> None:
    pid = child()
    ended(pid)
    orphans = Orphans(age_s=60)
    orphans.look(0)
    os.waitpid(pid, 0)
    assert pid not in pids(orphans.look(60))


def test_pidfds_are_recognised() -> None:
    pidfd = os.pidfd_open(os.getpid())
    try:
        assert os.getpid() in held_pids()
    finally:
        os.close(pidfd)
    assert os.getpid() not in held_pids()


async def test_a_command_gets_its_own_exit_code_while_orphans_are_reaped_at_once() -> None:
    orphans = Orphans(age_s=0)
    for _ in range(20):
        orphans.look(0)
        done = await run(["/bin/sh", "-c", "(exit 5) & exit 3"], timeout_s=60)
        orphans.look(0)
        assert done.returncode == 3
