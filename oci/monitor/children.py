"""Reaping: the monitor is a subreaper, so every process of its containers may become its child."""

import os
import signal
import time
from collections.abc import Callable

from oci.monitor.reactor import READ, Reactor

WaitStatus = int
OnExit = Callable[[WaitStatus], None]


class Children:
    """Tells who waits for a pid how it ended; everybody else's orphans are just reaped.

    A process may end before the command that made it has told its pid. While commands run
    (:meth:`expect` to :meth:`settled`), unknown pids are remembered for that.
    """

    def __init__(self, reactor: Reactor) -> None:
        """Install the SIGCHLD handler; the signal's byte arrives on a pipe that the reactor watches."""
        self._reactor = reactor
        self._waiting: dict[int, OnExit] = {}
        self._unclaimed: dict[int, tuple[float, WaitStatus]] = {}
        self._expected = 0
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._pipe = reading
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        reactor.watch(reading, READ, self._signalled)

    def __contains__(self, pid: int) -> bool:
        """Whether someone waits for ``pid``: then it is not reaped, and its number is its own."""
        return pid in self._waiting

    def expect(self) -> float:
        """A command starts that may make children; gives the time for :meth:`watch`."""
        self._expected += 1
        return time.monotonic()

    def settled(self) -> None:
        """That command is over and what it made is watched."""
        self._expected -= 1
        if not self._expected:
            self._unclaimed.clear()

    def watch(self, pid: int, since: float, on_exit: OnExit) -> None:
        """Call ``on_exit`` with the wait status when ``pid``, started after ``since``, has ended."""
        when, status = self._unclaimed.pop(pid, (0.0, 0))
        if when >= since:
            self._reactor.soon(lambda: on_exit(status))
        else:
            self._waiting[pid] = on_exit

    def _signalled(self) -> None:
        try:
            while os.read(self._pipe, 512):
                pass
        except BlockingIOError:
            pass
        self.reap()

    def reap(self) -> None:
        """Collect all that have ended; also what ended before there was a handler."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            on_exit = self._waiting.pop(pid, None)
            if on_exit is not None:
                # Later, so that one failing callback does not end this loop with zombies left.
                self._reactor.soon(lambda call=on_exit, how=status: call(how))  # type: ignore[misc]
            elif self._expected:
                self._unclaimed[pid] = (time.monotonic(), status)
