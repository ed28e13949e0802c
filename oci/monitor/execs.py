"""Execs in the monitor: started by the runtime's detached exec, reaped and timed here."""

import os
from collections.abc import Callable

from host.spawn import exit_code_of, kill_group
from oci.monitor.children import Children
from oci.monitor.commands import Command
from oci.monitor.reactor import Reactor, Timer


class RunningExec:
    """One exec from its command's start until its process is reaped."""

    def __init__(self, exec_id: str, children: Children, on_exit: Callable[[str, int, bool], None]) -> None:
        """``on_exit`` gets the exec's id, exit code, and whether its time was up."""
        self.exec_id = exec_id
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
            _kill_group_of(self._pid)

    def _time_is_up(self) -> None:
        self._timed_out = True
        self.kill()

    def _reaped(self, status: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_exit(self.exec_id, exit_code_of(status), self._timed_out)


def _kill_group_of(pid: int) -> None:
    """SIGKILL to an unreaped process and to its group.

    runc makes the process lead a session; crun leaves it in the group of the exec command, which led one.
    """
    group = os.getpgid(pid)
    if group != os.getpgrp():
        kill_group(group)
    kill_group(pid)
