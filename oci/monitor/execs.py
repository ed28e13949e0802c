"""Execs in the monitor: started by the runtime's detached exec, reaped and timed here."""

from collections.abc import Callable

from host.fds import Descriptor
from host.spawn import exit_code_of, has_ended, kill_group_of
from oci.monitor.children import Children
from oci.monitor.commands import Command
from oci.monitor.peers import Peer
from oci.monitor.reactor import READ, Reactor, Timer


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
        self._timer: Timer | None = None
        self._timed_out = False

    def runs(self, reactor: Reactor, pid: int, since: float, run_timeout_s: float) -> None:
        """The runtime has made ``pid``; wait for its end, at most ``run_timeout_s`` (0: for ever)."""
        self._pid = pid
        if run_timeout_s:
            self._timer = reactor.later(run_timeout_s, self._time_is_up)
        self._children.watch(pid, since, self._reaped)
        if self.killed:
            self.kill()

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
        self._on_exit(self.exec_id, exit_code_of(status), self._timed_out)


class AdoptedExec:
    """One that an earlier monitor started: no child of ours perhaps, so its pidfd tells its end."""

    def __init__(
        self, reactor: Reactor, pid: int, pidfd: int, left_s: float, on_end: Callable[[], object]
    ) -> None:
        """Take ``pidfd`` over; kill after ``left_s`` (0: never)."""
        self.peer: Peer | None = None  # who has it
        self._reactor = reactor
        self._pid = pid
        self._pidfd = Descriptor(pidfd)
        self._on_end = on_end
        self._timer = reactor.later(left_s, self.kill) if left_s else None
        reactor.watch(pidfd, READ, self._ended)

    def kill(self) -> None:
        """SIGKILL to the process and its group."""
        if self._pidfd.is_open and not has_ended(self._pidfd.number):
            kill_group_of(self._pid)

    def _ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._reactor.unwatch(self._pidfd.number)
        self._pidfd.close()
        self._on_end()
