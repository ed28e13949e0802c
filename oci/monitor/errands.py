"""The daemon's view of runtime commands that the monitor runs for it: each is known by pidfd and deadline.

A command outlives its monitor. Then its end is waited for from here, and what was asked for is answered by
what it did; at its deadline it is killed with its process group. The monitor tells of a command as soon as it
has started one; dead before that, the command is found by its command line, which names a file of its own.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from host.fds import Descriptor, close_all
from host.processes import exited
from host.spawn import has_ended, kill_group, kill_group_of, pidfd_exit_code, start_time

_CLOCK_TICK_S = 0.02  # of start times, and of those of files
IN_VAIN_S = 1.0  # for a command whose work is of no use any more: one that ends by itself leaves less
_KILLED_S = 5.0  # for a killed process to be gone
_REAPED_S = 0.5  # for who was its parent to reap it, before its exit code is given up
_POLL_S = 0.02
_WORDS_BYTES = 8192


class Errand:
    """One command, from the request on; :meth:`close` it."""

    def __init__(self, argv: Sequence[str], runtime_log: str, timeout_s: float) -> None:
        """The time runs from now."""
        self.argv = tuple(argv)
        self.timed_out = False
        self.was_in_vain = False
        self._log = runtime_log
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._pid = 0
        self._pidfd: Descriptor | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the command is known to have started."""
        return self._pidfd is not None

    def begun(self, pid: int, pidfd: int) -> None:
        """The monitor has started it; ``pidfd`` is taken over."""
        self.close()
        self._pid, self._pidfd = pid, Descriptor(pidfd)

    async def end(self, patience_s: float | None = None) -> int | None:
        """Its monitor died: wait for its end, until its deadline and at most ``patience_s``, and kill it with
        its group then. Gives its exit code if that can be known."""
        if self._pidfd is None:
            await self._search()
        if self._pidfd is None:
            return None
        pidfd = self._pidfd.number
        left_s = max(0.0, self._deadline - asyncio.get_running_loop().time())
        if not await exited(pidfd, left_s if patience_s is None else min(left_s, patience_s)):
            self.timed_out = True
            await _kill(self._pid, pidfd)
        return await _exit_code(pidfd)

    async def end_for(self, container: int | None) -> int | None:
        """As ``end``, of a command on a container: once the process behind this pidfd has ended (None: it
        has), it works in vain, and is killed after a moment. crun's start then waits for ever.
        """
        ending = asyncio.ensure_future(self.end())
        gone = asyncio.ensure_future(_gone(container))
        try:
            await asyncio.wait({ending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                await asyncio.wait({ending}, timeout=IN_VAIN_S)
            if self._pidfd is not None and not has_ended(self._pidfd.number):
                self.was_in_vain = True
                kill_group(self._pid)
            return await ending
        finally:
            gone.cancel()
            ending.cancel()
            await asyncio.gather(gone, ending, return_exceptions=True)  # they use what others close

    async def _search(self) -> None:
        """Its monitor may have died before it could tell of it. A script has its interpreter before it."""
        words = _words(_joined(self.argv[1:]))
        found = await asyncio.to_thread(_find, lambda command: _words(command).endswith(words))
        for pid, pidfd in reversed(found):  # the first is it: a process that it makes is like it for a while
            self.begun(pid, pidfd)

    def words(self) -> str:
        """The end of what it wrote into its log."""
        with contextlib.suppress(OSError), open(self._log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _WORDS_BYTES))
            return file.read(_WORDS_BYTES).decode(errors="replace")
        return ""

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._pidfd is not None:
            self._pidfd.close()


async def end_strays(scratch: Path, patience_s: float, spared: Collection[int] = ()) -> int:
    """Wait for runtime commands of a daemon and a monitor that both died, kill them with their groups after
    ``patience_s``, and give their number. Their command lines name files in ``scratch``; so do those of
    containers that have been created and not started, which are ``spared``, by pid."""
    mark = b" --log=" + os.fsencode(scratch) + b"/"
    leaders = await asyncio.to_thread(_find, lambda command: mark in _words(command))
    close_all(pidfd for pid, pidfd in leaders if pid in spared)
    found = [(pid, Descriptor(pidfd)) for pid, pidfd in leaders if pid not in spared]
    try:
        await asyncio.gather(*(_end_stray(pid, pidfd.number, patience_s) for pid, pidfd in found))
    finally:
        for _, pidfd in found:
            pidfd.close()
    return len(found)


async def end_unknown_execs(scratch: Path, known: Collection[int]) -> int:
    """Kill what an exec's command had made when daemon and monitor died before they had heard of it, and give
    its number: processes in pid files of ``scratch`` that are not ``known``."""
    return await asyncio.to_thread(lambda: sum(_end_unknown(path, known) for path in scratch.glob("*.pid")))


def _end_unknown(path: Path, known: Collection[int]) -> bool:
    try:
        pid, written_s = int(path.read_text()), path.stat().st_mtime
        age_s = time.time() - written_s
        lives_s = time.clock_gettime(time.CLOCK_BOOTTIME) - start_time(pid) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return False
    if pid in known or lives_s < age_s - _CLOCK_TICK_S:
        return False  # or another process has the number by now: it is younger than the file
    kill_group_of(pid)
    return True


async def _end_stray(pid: int, pidfd: int, patience_s: float) -> None:
    if not await exited(pidfd, patience_s):
        await _kill(pid, pidfd)
    pidfd_exit_code(pidfd)  # which reaps it if it is ours


async def _gone(container: int | None) -> None:
    if container is not None:
        await exited(container, None)


async def _kill(pid: int, pidfd: int) -> None:
    if not has_ended(pidfd):
        kill_group(pid)
        await exited(pidfd, _KILLED_S)


async def _exit_code(pidfd: int) -> int | None:
    """The kernel tells once the parent has reaped it, if that is not us."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _REAPED_S
    while (code := pidfd_exit_code(pidfd)) is None and loop.time() < deadline:  # noqa: ASYNC110 - no event
        await asyncio.sleep(_POLL_S)
    return code


def _joined(argv: Sequence[str]) -> bytes:
    return b"".join(b"\0" + os.fsencode(word) for word in argv) + b"\0"


def _words(command: bytes) -> bytes:
    """As a process that was forked inside of the monitor names itself: it cannot part its words."""
    return command.replace(b"\0", b" ").rstrip(b" ")


def _find(is_it: Callable[[bytes], bool]) -> list[tuple[int, int]]:
    """The leaders of process groups whose command lines fit: pid and pidfd, which is the caller's."""
    found = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        with contextlib.suppress(OSError):
            if is_it(Path(f"/proc/{pid}/cmdline").read_bytes()) and os.getpgid(pid) == pid:
                found.append((pid, os.pidfd_open(pid)))
    return found
