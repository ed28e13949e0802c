"""Reaching the monitor of a directory, starting one if none answers."""

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path

from host.local_sockets import dial
from host.processes import start as start_program
from host.spawn import CommandNotStarted, kill_group
from oci.monitor.types import MonitorUnavailable

# A whole interpreter on a loaded machine: generous, for without a monitor nothing works.
TIMEOUT_S = 30.0
_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from oci.monitor.main import main; main()"


async def connect(
    directory: Path, *, start: bool, timeout_s: float = TIMEOUT_S
) -> tuple[socket.socket, int | None]:
    """Connect to ``<directory>/monitor.sock``; the pid comes along if the monitor was started here.

    Raises:
        MonitorUnavailable: none runs and none could be started.
    """
    try:
        return dial(f"{directory}/monitor.sock"), None
    except OSError as error:
        if not start or error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
            raise MonitorUnavailable(
                f"no monitor answers on {directory}/monitor.sock: {error.strerror}"
            ) from error
    pid, pidfd = await _start(directory, timeout_s)
    try:
        return dial(f"{directory}/monitor.sock"), pid
    except OSError as error:
        _end(pid, pidfd)
        raise MonitorUnavailable(
            f"the monitor does not answer on {directory}/monitor.sock: {error.strerror}; "
            f"see {directory}/monitor.log"
        ) from error
    finally:
        os.close(pidfd)


def command(directory: Path) -> list[str]:
    """What executes this version's monitor for ``directory``."""
    return [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_ROOT), str(directory)]


async def _start(directory: Path, timeout_s: float) -> tuple[int, int]:
    """Start a monitor in a session of its own and wait until it listens; give its pid and pidfd."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = command(directory)
    ready, writing = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    errors = os.open(directory / "monitor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        pid = start_program(argv, [null, writing, errors], new_session=True)
        pidfd = os.pidfd_open(pid)
    except CommandNotStarted as error:
        os.close(ready)
        raise MonitorUnavailable(str(error)) from error
    finally:
        for descriptor in (writing, null, errors):
            os.close(descriptor)
    try:
        await _readable(ready, timeout_s)
    except BaseException as error:
        _end(pid, pidfd)
        os.close(pidfd)
        if isinstance(error, TimeoutError):
            raise MonitorUnavailable(f"the monitor did not start within {timeout_s:g} s") from error
        raise
    finally:
        os.close(ready)
    return pid, pidfd


def _end(pid: int, pidfd: int) -> None:
    """Kill a monitor that we have started, and reap it: a matter of microseconds."""
    kill_group(pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)


async def _readable(descriptor: int, timeout_s: float) -> None:
    """Wait for a byte or the end of the pipe: the monitor listens, or it died."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    finally:
        loop.remove_reader(descriptor)
