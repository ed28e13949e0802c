"""Starting a streaming process: a fresh interpreter by posix_spawn, with two descriptors of ours."""

import fcntl
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from host.processes import exited
from host.spawn import spawn

logger = logging.getLogger(__name__)

_ROOT: Final = Path(__file__).resolve().parents[2]
_PROGRAM: Final = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv.pop(1)); "
    "from cri.streaming.process.main import main; main()"
)
_LIBRARIES: Final = ("h11", "websockets")
_ENDING_S: Final = 2.0


class Process:
    """A child that serves clients. Made by :meth:`start`; ``release`` reaps it."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def start(cls, listener: socket.socket, control: socket.socket, name: str) -> "Process":
        """Start it; both sockets stay the caller's. ``name`` is seen in lists of processes and means nothing.

        Raises:
            CommandNotStarted: there is no process to be had.
        """
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(module_path()), name]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        errors = os.dup(2)
        # Copies above their targets: our own may have any number.
        above = [_copy_above(number) for number in (null, null, errors, control.fileno(), listener.fileno())]
        try:
            # Of our session: one of its own would be a group of its own to schedulers with autogroups, and
            # cost a third of the throughput on a busy machine.
            pid = spawn(argv, {"LC_ALL": "C.UTF-8"}, above)
        finally:
            for descriptor in (null, errors, *above):
                os.close(descriptor)
        return cls(pid, os.pidfd_open(pid))

    async def end(self) -> None:
        """Wait a while for the end of one whose control socket was closed, then bring it about."""
        if not await exited(self._pidfd, _ENDING_S):
            self.kill()
            await exited(self._pidfd, None)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def release(self) -> str:
        """Reap it, ended as it is; how it ended, in words."""
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        assert result is not None  # only WNOHANG gives None
        how = "exit code" if result.si_code == os.CLD_EXITED else "signal"
        return f"{how} {result.si_status}"


def module_path() -> list[str]:
    """Where the process finds this package and its two libraries: it starts without site-packages."""
    places = [str(_ROOT)]
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            places.append(str(Path(spec.origin).parents[1]))
    return list(dict.fromkeys(places))


def _copy_above(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
