"""Run a program to its end from an event loop, without forking and without asyncio's child watchers.

``posix_spawn`` starts the child (vfork semantics: safe beside grpc's threads, and its cost does not grow
with our memory), a pidfd tells its end, and ``waitid`` on that pidfd reaps only this child. Every program
leads a process group of its own, so that a timeout takes its helpers with it.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from api.errors import DeadlineExceeded
from host.spawn import CommandNotStarted, kill_group, spawn

__all__ = ["CommandNotStarted", "CommandTimedOut", "Completed", "run"]

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


@dataclass(slots=True)
class _Output:
    """Collects one pipe up to a limit; what lies beyond is read and dropped, so the writer never blocks."""

    descriptor: int
    limit: int
    data: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    ended: bool = False

    def read_available(self) -> None:
        """Read until the pipe is empty or ended; at most 16 chunks, to leave room for others."""
        for _ in range(16):
            try:
                chunk = os.read(self.descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                self.ended = True
                return
            room = self.limit - len(self.data)
            self.truncated |= len(chunk) > room
            self.data += chunk[: max(room, 0)]


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


def _watch_output(loop: asyncio.AbstractEventLoop, output: _Output) -> None:
    def ready() -> None:
        output.read_available()
        if output.ended:
            loop.remove_reader(output.descriptor)

    loop.add_reader(output.descriptor, ready)


async def _exited(pidfd: int, timeout_s: float | None) -> bool:
    """Wait until the process behind ``pidfd`` has ended; False when the time was up before."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(pidfd, ready)
    try:
        done, _ = await asyncio.wait([ended], timeout=timeout_s)
        return bool(done)
    finally:
        loop.remove_reader(pidfd)


def _reap(pidfd: int) -> int:
    """Reap an ended child; its return code as subprocess would give it."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert result is not None  # only WNOHANG gives None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float,
    output_limit: int = 1 << 20,
) -> Completed:
    """Run ``argv`` (a path first) to its end; bytes of output beyond ``output_limit`` a stream are dropped.

    Processes that the program leaves behind do not delay the answer, even if they hold its output open.
    Cancelling kills the program's process group and reaps it first.

    Raises:
        CommandNotStarted: it could not be started.
        CommandTimedOut: it did not end within ``timeout_s``; it is dead and reaped now.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as cleanup:
        input_fd = _input_file(stdin)
        cleanup.callback(os.close, input_fd)
        outputs, write_ends = [], []
        for _ in range(2):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            cleanup.callback(os.close, reading)
            os.set_blocking(reading, False)
            outputs.append(_Output(reading, output_limit))
            write_ends.append(writing)
        try:
            pid = spawn(argv, os.environ if env is None else env, [input_fd, *write_ends])
        finally:
            for writing in write_ends:
                os.close(writing)
        pidfd = os.pidfd_open(pid)
        cleanup.callback(os.close, pidfd)
        for output in outputs:
            _watch_output(loop, output)
            cleanup.callback(loop.remove_reader, output.descriptor)
        returncode = await _wait(argv[0], pid, pidfd, timeout_s)
        for output in outputs:
            output.read_available()
        return Completed(
            returncode,
            bytes(outputs[0].data),
            bytes(outputs[1].data),
            any(output.truncated for output in outputs),
        )


async def _wait(program: str, pid: int, pidfd: int, timeout_s: float) -> int:
    """Wait and reap; a timeout or a cancellation kills the process group first."""
    in_time = False
    try:
        in_time = await _exited(pidfd, timeout_s)
    finally:
        if not in_time:
            kill_group(pid)
        # After SIGKILL the end is a matter of microseconds; blocking here keeps it safe from a second cancel.
        returncode = _reap(pidfd)
    if not in_time:
        raise CommandTimedOut(f"{program} did not end within {timeout_s:g} s and was killed")
    return returncode
