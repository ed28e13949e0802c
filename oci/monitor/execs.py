"""Execs in the monitor: started by the runtime's detached exec, reaped and timed here."""

import time
from collections.abc import Callable, Sequence

from host.fds import Descriptor
from host.spawn import exit_code_of, has_ended, kill_group_of
from oci.monitor.children import Children
from oci.monitor.commands import Command
from oci.monitor.kept import KeptExec, encode
from oci.monitor.peers import Peer
from oci.monitor.reactor import READ, Reactor, Timer

# What the next monitor waits longer: a daemon that lives is who ends an exec, and says why.
_GRACE_S = 2.0


class RunningExec:
    """One exec from its command's start until its process is reaped."""

    def __init__(self, exec_id: str, children: Children, on_exit: Callable[[str, int, bool], None]) -> None:
        """``on_exit`` gets the exec's id, exit code, and whether its time was up."""
        self.exec_id = exec_id
        self.peer: Peer | None = None  # who asked for it, and is told
        self.command: Command | None = None
        self.killed = False
        self._children = children
        self._on_exit = on_exit
        self._pid: int | None = None
        self._pidfd: Descriptor | None = None
        self._deadline = 0.0
        self._timer: Timer | None = None
        self._timed_out = False

    def runs(self, reactor: Reactor, pid: int, pidfd: int, since: float, run_timeout_s: float) -> None:
        """The runtime has made ``pid`` (``pidfd`` is taken over); wait for its end, at most ``run_timeout_s``
        (0: for ever)."""
        self._pid, self._pidfd = pid, Descriptor(pidfd)
        if run_timeout_s:
            self._deadline = time.monotonic() + run_timeout_s
            self._timer = reactor.later(run_timeout_s, self._time_is_up)
        self._children.watch(pid, since, self._reaped)
        if self.killed:
            self.kill()

    def goes_on(self, reactor: Reactor, kept: KeptExec, pidfd: int) -> None:
        """The same after an upgrade of the monitor, whose child the process still is."""
        self._pid, self._pidfd, self._deadline = kept.pid, Descriptor(pidfd), kept.deadline
        if kept.deadline:
            self._timer = reactor.later(max(0.0, kept.deadline - time.monotonic()), self._time_is_up)
        self._children.watch(kept.pid, time.monotonic(), self._reaped)

    def kept(self) -> tuple[bytes, Sequence[int]]:
        """What the keeper holds of it, once it runs."""
        assert self._pid is not None
        assert self._pidfd is not None
        return encode(KeptExec(self.exec_id, self._pid, self._deadline)), [self._pidfd.number]

    def claim(self, peer: Peer | None, _: float) -> None:
        """The daemon's connection was lost, and it is back; the time runs as it did."""
        self.peer = peer

    def kill(self) -> None:
        """SIGKILL to the process and its group, or to the command that is about to make it."""
        self.killed = True
        if self._pid is None:
            if self.command is not None:
                self.command.kill()
        elif self._pid in self._children:
            kill_group_of(self._pid)

    def _time_is_up(self) -> None:
        self._timed_out = True
        self.kill()

    def _reaped(self, status: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._pidfd is not None:
            self._pidfd.close()
        self._on_exit(self.exec_id, exit_code_of(status), self._timed_out)


class AdoptedExec:
    """One that an earlier monitor started: no child of ours perhaps, so its pidfd tells its end."""

    def __init__(self, reactor: Reactor, kept: KeptExec, pidfd: int, on_end: Callable[[], object]) -> None:
        """Take ``pidfd`` over."""
        self.peer: Peer | None = None  # who has it
        self._reactor = reactor
        self._kept = kept
        self._pidfd = Descriptor(pidfd)
        self._on_end = on_end
        self._timer: Timer | None = None
        self._kill_at(kept.deadline and kept.deadline + _GRACE_S)
        reactor.watch(pidfd, READ, self._ended)

    def claim(self, peer: Peer | None, left_s: float) -> None:
        """A daemon waits for it, and has it killed after ``left_s`` (0: never)."""
        self.peer = peer
        self._kept = self._kept._replace(deadline=left_s and time.monotonic() + left_s)
        self._kill_at(self._kept.deadline)

    def kept(self) -> tuple[bytes, Sequence[int]]:
        """What the keeper holds of it."""
        return encode(self._kept), [self._pidfd.number]

    def _kill_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        left_s = max(0.0, deadline - time.monotonic())
        self._timer = self._reactor.later(left_s, self.kill) if deadline else None

    def kill(self) -> None:
        """SIGKILL to the process and its group."""
        if self._pidfd.is_open and not has_ended(self._pidfd.number):
            kill_group_of(self._kept.pid)

    def _ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._reactor.unwatch(self._pidfd.number)
        self._pidfd.close()
        self._on_end()
