"""The daemon's table of execs: each one's process, deadline and end, whichever monitor lives.

While the monitor that started an exec lives it kills and times it, and tells its end. When it dies, this does
all of that by the process's pidfd, and the next monitor gets pidfd and deadline: so the deadline holds also
when this daemon dies after it.
"""

import asyncio
from collections.abc import Callable

from host.fds import Descriptor
from host.spawn import has_ended, kill_group_of, pidfd_exit_code
from oci.monitor.protocol import AdoptExec
from oci.monitor.types import ExecFinished

# What the next monitor waits longer: while this daemon lives, it is who ends an exec and says why.
_GRACE_S = 2.0
_ENDED_S = 0.5  # for who was its parent to reap it, before its exit code is given up
_POLL_S = 0.02


class Exec:
    """One exec, from before its command starts until its end is known."""

    def __init__(self, exec_id: str, run_timeout_s: float) -> None:
        """``run_timeout_s`` of 0 means no limit; it begins with :meth:`runs`."""
        self.exec_id = exec_id
        self.finished: asyncio.Future[ExecFinished] = asyncio.get_running_loop().create_future()
        self._run_timeout_s = run_timeout_s
        self._loop = asyncio.get_running_loop()
        self._pid = 0
        self._pidfd: Descriptor | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_orphan = False
        self._is_killed = False
        self._timed_out = False

    def runs(self, pid: int, pidfd: int) -> None:
        """The process is there; ``pidfd`` is taken over."""
        self._pid, self._pidfd = pid, Descriptor(pidfd)
        if self._run_timeout_s:
            self._deadline = self._loop.time() + self._run_timeout_s
        if self.finished.done():
            self._close()

    def kill(self) -> bool:
        """SIGKILL to the process and its group; False: its monitor must do it."""
        self._is_killed = True
        if self._is_orphan and self._pidfd is not None and not has_ended(self._pidfd.number):
            kill_group_of(self._pid)
        return self._is_orphan

    def orphaned(self) -> None:
        """Its monitor died: watch it from here. Idempotent."""
        if self._is_orphan or self._pidfd is None or self.finished.done():
            return
        self._is_orphan = True
        try:
            self._loop.add_reader(self._pidfd.number, self._ended)
        except OSError:  # it had ended before the monitor could open it: this is /dev/null
            self.is_over(ExecFinished(None))
            return
        if self._deadline is not None:
            self._timer = self._loop.call_at(self._deadline, self._time_is_up)
        if self._is_killed:
            self.kill()

    def adoption(self) -> tuple[AdoptExec, list[int]] | None:
        """What tells another monitor of it, and its descriptors for a message that is sent at once."""
        if not self._is_orphan or self._pidfd is None or not self._pidfd.is_open:
            return None
        left_s = 0.0
        if self._deadline is not None:
            left_s = max(0.0, self._deadline - self._loop.time()) + _GRACE_S
        return AdoptExec(self.exec_id, self._pid, left_s), [self._pidfd.number]

    def is_over(self, finished: ExecFinished) -> None:
        """Its end is known. Idempotent."""
        if not self.finished.done():
            self.finished.set_result(finished)
        self._close()

    def _time_is_up(self) -> None:
        self._timed_out = True
        self.kill()

    def _ended(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd.number)
        self._ask_exit_code(self._loop.time() + _ENDED_S)

    def _ask_exit_code(self, deadline: float) -> None:
        """The kernel tells once the parent has reaped it."""
        if self._pidfd is None or not self._pidfd.is_open:
            return
        code = pidfd_exit_code(self._pidfd.number)
        if code is None and self._loop.time() < deadline:
            self._timer_off()
            self._timer = self._loop.call_later(_POLL_S, self._ask_exit_code, deadline)
        else:
            self.is_over(ExecFinished(code, self._timed_out))

    def _timer_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._timer_off()
        if self._pidfd is not None and self._pidfd.is_open:
            self._loop.remove_reader(self._pidfd.number)
            self._pidfd.close()

    def close(self) -> None:
        """Let go of it; the process is not touched."""
        self._close()


class Execs:
    """All of them, by id."""

    def __init__(self) -> None:
        """None yet."""
        self._execs: dict[str, Exec] = {}

    def __len__(self) -> int:
        return len(self._execs)

    def add(self, exec_id: str, run_timeout_s: float) -> Exec:
        """One that is about to start; it leaves the table when its end is known, or by :meth:`drop`."""
        one = self._execs[exec_id] = Exec(exec_id, run_timeout_s)
        one.finished.add_done_callback(lambda _: self._execs.pop(exec_id, None))
        return one

    def drop(self, one: Exec) -> None:
        """It has not started."""
        self._execs.pop(one.exec_id, None)
        one.close()

    def ended(self, exec_id: str, finished: ExecFinished) -> None:
        """Its monitor says that it has ended."""
        if (one := self._execs.get(exec_id)) is not None:
            one.is_over(finished)

    def each(self, do: Callable[[Exec], None]) -> None:
        """``do`` something with all that are there."""
        for one in list(self._execs.values()):
            do(one)

    def all(self) -> list[Exec]:
        """Everything that is there now."""
        return list(self._execs.values())

    def close(self) -> None:
        """Let go of all; the processes live on, and who waits for their ends is told nothing."""
        for one in self.all():
            one.close()
