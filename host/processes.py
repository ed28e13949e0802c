"""Run a program to its end from an event loop, without forking and without asyncio's child watchers.

``posix_spawn`` starts the child (vfork semantics: safe beside grpc's threads, and its cost does not grow
with our memory), a pidfd tells its end, and ``waitid`` on that pidfd reaps only this child. Every program
leads a process group of its own, so that a timeout takes its helpers with it.

Programs get the environment of host/environment.py, what their caller adds to it, and no descriptor of ours.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.errors import DeadlineExceeded
from host import environment
from host.namespaces import in_new_thread, unshare_file_attributes
from host.spawn import CommandNotStarted, kill_group, spawn

__all__ = ["CommandNotStarted", "CommandTimedOut", "Completed", "OutputPipe", "run", "start"]

_READ_BYTES = 65536


class CommandTimedOut(DeadlineExceeded):
    """The program ran longer than it was given and was killed with its process group."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended; ``returncode`` is negative for a signal, as in subprocess."""

    returncode: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False


class OutputPipe:
    """Collects what a program writes up to a limit; the rest is read and dropped, so that it never blocks.

    ``writing`` is the program's end: hand it on, then :meth:`handed_on`.
    """

    def __init__(self, limit: int) -> None:
        """Make the pipe and let the running loop read it."""
        self.data = bytearray()
        self.truncated = False
        self._limit = limit
        self._reading, self.writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reading, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self.read_available)

    def handed_on(self) -> None:
        """Close our copy of the program's end; idempotent."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def read_available(self) -> None:
        """Read until the pipe is empty or ended; at most 32 chunks, to leave room for others."""
        for _ in range(32):
            try:
                chunk = os.read(self._reading, _READ_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                self._loop.remove_reader(self._reading)
                return
            room = max(self._limit - len(self.data), 0)
            self.truncated |= len(chunk) > room
            self.data += chunk[:room]

    def close(self) -> None:
        """Close both ends; the data stays. Idempotent."""
        self.handed_on()
        if self._reading >= 0:
            self._loop.remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1


def _input_file(content: bytes | None) -> int:
    """A descriptor from which the child reads ``content``; no writer is needed while it runs."""
    if content is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def exited(pidfd: int, timeout_s: float | None) -> bool:
    """Wait until the process behind ``pidfd`` has ended; False when the time was up before.

    Of the descriptor a duplicate is watched: its owner may close it meanwhile, and others may wait for the
    same process. The kernel's epoll would go on with a number that was closed while it was watched, as long
    as anybody has the process, and tell its next owner things of it.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not ended.done():
            ended.set_result(None)

    own = os.dup(pidfd)
    try:
        loop.add_reader(own, ready)
        done, _ = await asyncio.wait([ended], timeout=timeout_s)
        return bool(done)
    finally:
        loop.remove_reader(own)
        os.close(own)


def _reap(pidfd: int) -> int:
    """Reap an ended child; its return code as subprocess would give it."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert result is not None  # only WNOHANG gives None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def start(
    argv: Sequence[str],
    descriptors: Sequence[int],
    *,
    variables: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> int:
    """``host.spawn.spawn`` for processes with threads: the umask that it changes is a new thread's own.

    Raises:
        CommandNotStarted: see there.
    """
    env = {**environment.of_helpers(os.environ), **(variables or {})}

    def apart() -> int:
        unshare_file_attributes()
        return spawn(argv, env, descriptors, new_session=new_session)

    try:
        return in_new_thread(apart)
    except RuntimeError as error:  # the system has no thread for us
        raise CommandNotStarted(f"cannot start {argv[0]}: {error}") from error


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    variables: Mapping[str, str] | None = None,
    timeout_s: float,
    output_limit: int = 1 << 20,
) -> Completed:
    """Run ``argv`` (a path first) to its end; bytes of output beyond ``output_limit`` a stream are dropped.

    ``variables`` are added to the environment that programs get.

    Processes that the program leaves behind do not delay the answer, even if they hold its output open.
    Cancelling kills the program's process group and reaps it first.

    Raises:
        CommandNotStarted: it could not be started.
        CommandTimedOut: it did not end within ``timeout_s``; it is dead and reaped now.
    """
    with contextlib.ExitStack() as cleanup:
        input_fd = _input_file(stdin)
        cleanup.callback(os.close, input_fd)
        outputs = []
        for _ in range(2):
            output = OutputPipe(output_limit)
            cleanup.callback(output.close)
            outputs.append(output)
        stdio = [input_fd, *(output.writing for output in outputs)]
        pid = start(argv, stdio, variables=variables)
        pidfd = os.pidfd_open(pid)
        cleanup.callback(os.close, pidfd)
        for output in outputs:
            output.handed_on()
        returncode = await _wait(argv[0], pid, pidfd, timeout_s)
        for output in outputs:
            output.read_available()
        truncated = any(output.truncated for output in outputs)
        return Completed(returncode, bytes(outputs[0].data), bytes(outputs[1].data), truncated)


async def _wait(program: str, pid: int, pidfd: int, timeout_s: float) -> int:
    """Wait and reap; a timeout or a cancellation kills the process group first."""
    in_time = False
    try:
        in_time = await exited(pidfd, timeout_s)
    finally:
        if not in_time:
            kill_group(pid)
        # After SIGKILL the end is a matter of microseconds; blocking here keeps it safe from a second cancel.
        returncode = _reap(pidfd)
    if not in_time:
        raise CommandTimedOut(f"{program} did not end within {timeout_s:g} s and was killed")
    return returncode
