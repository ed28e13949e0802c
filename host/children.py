"""Orphans that come to us as a subreaper: found when they have ended, and reaped.

A CNI plugin or a runtime may leave processes behind, and a monitor that dies leaves all of its own; when
their parent ends they become our children, and stay in the process table until somebody waits for them.
Children that are somebody's business here are left to him. Somebody waits when

    a pidfd of this process refers to the child: whoever starts one opens that at once, and waits by it; or
    it has not been a zombie for AGE_S yet: it may be between posix_spawn and pidfd_open in another thread.

SIGCHLD tells when to look. The child is reaped by a pidfd whose start time was compared: never another
process that got the same number.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

AGE_S = 0.5
_LOOK_S = 30.0  # also without a signal
_AGAIN_S = 2.0  # the same while a zombie is known
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Zombie:
    """An ended child; ``start_time`` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    name: str
    start_time: int


def zombies() -> list[Zombie]:
    """Our children that have ended and are not reaped; one system call when there are none.

    At least one of those that there are: the kernel's list of children may lack some while others end
    (proc_pid_task_children(5)), so that whoever finds one looks again.
    """
    try:
        known = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    if known is None:
        return []
    return [zombie for pid in {known.si_pid, *_children()} if (zombie := _zombie(pid)) is not None]


def _children() -> Iterator[int]:
    """Children of every thread; needs CONFIG_PROC_CHILDREN, without which none are found."""
    for task in (_PROC / "self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, (task / "children").read_bytes().split())


def _zombie(pid: int) -> Zombie | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()  # state is field 3 of proc(5), the start time field 22
    return Zombie(pid, name, int(fields[19])) if fields[0] == "Z" else None


def held_pids() -> set[int]:
    """The processes that pidfds of ours refer to."""
    held = set()
    for entry in (_PROC / "self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            for line in entry.read_bytes().splitlines():
                if line.startswith(b"Pid:"):
                    held.add(int(line.split()[1]))
    return held


class Orphans:
    """Remembers since when each zombie has been seen."""

    def __init__(self, age_s: float = AGE_S) -> None:
        self._age_s = age_s
        self._since: dict[Zombie, float] = {}
        self._has_found = False  # when last looked

    async def watch(self) -> None:
        """Look whenever a child has ended, and now and then, for ever. For the main thread's loop."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        loop.add_signal_handler(signal.SIGCHLD, changed.set)
        try:
            while True:
                changed.clear()
                self.look(time.monotonic())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience_s(time.monotonic())):
                        await changed.wait()
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)

    def _patience_s(self, now_s: float) -> float:
        """Until the first zombie that is too young becomes old enough. Those that are old are somebody's, and
        while there are any, others may not have been seen."""
        if not self._has_found:
            return _LOOK_S
        left = [since + self._age_s - now_s for since in self._since.values()]
        return min((one for one in left if one > 0), default=_AGAIN_S)

    def look(self, now_s: float) -> list[Zombie]:
        """Reap what nobody waits for; ``now_s`` is a monotonic clock's. Takes microseconds if all is well."""
        found = zombies()
        self._has_found = bool(found)
        self._since = {zombie: self._since.get(zombie, now_s) for zombie in found}
        old = [zombie for zombie, since in self._since.items() if now_s - since >= self._age_s]
        if not old:
            return []
        held = held_pids()
        reaped = [zombie for zombie in old if zombie.pid not in held and _reap(zombie)]
        for zombie in reaped:
            del self._since[zombie]
            log.info("orphan reaped pid=%d name=%s", zombie.pid, zombie.name)
        return reaped


def _reap(zombie: Zombie) -> bool:
    try:
        pidfd = os.pidfd_open(zombie.pid)
    except ProcessLookupError:
        return False
    try:
        if _zombie(zombie.pid) != zombie:
            return False
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is not None
        return False
    finally:
        os.close(pidfd)
