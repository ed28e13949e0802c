"""Running one command of a runtime: spawned with given stdio, bounded in time, its own words kept."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from host.keyrings import leave_session_keyring
from host.spawn import CommandNotStarted, exit_code_of, kill_group, oom_score_adj, spawn
from oci.monitor.children import Children
from oci.monitor.reactor import READ, Reactor

_AT_ONCE_BYTES = 65536
_LAST_READS = 16  # a pipe holds as much, and more
_WORDS_BYTES = 8192  # of the end of a log or of standard error: room for the message, and for a reply


class Result(NamedTuple):
    """How a command ended. ``status`` is its exit code; the texts are the ends of its log and stderr."""

    status: int
    timed_out: bool
    log: str
    stderr: str

    def as_reply(self) -> dict[str, object]:
        """The fields of a reply."""
        return self._asdict()


class Commands:
    """Starts commands; none waits for another."""

    def __init__(self, reactor: Reactor, children: Children, environment: Mapping[str, str]) -> None:
        """Commands get ``environment``."""
        self._reactor = reactor
        self._children = children
        self._environment = dict(environment)
        self._running = 0
        self._when_idle: list[Callable[[], None]] = []

    @property
    def is_idle(self) -> bool:
        """Whether none runs."""
        return self._running == 0

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once no command runs, at once if that is so now."""
        self._when_idle.append(callback)
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        while self._running == 0 and self._when_idle:
            self._when_idle.pop(0)()

    def run(
        self,
        argv: Sequence[str],
        stdio: Sequence[int],
        *,
        runtime_log: str,
        errors: int | None,
        timeout_s: float,
        on_end: Callable[[Result, float], None],
        oom_adj: int = 0,
        on_begun: Callable[[int], None] | None = None,
    ) -> "Command":
        """Start ``argv`` with ``stdio`` (three descriptors, still the caller's).

        The command starts with ``oom_adj``, not with our own: runtimes pass on what they are not told to set.
        So with keys: crun gives what it executes in a container the session keyring that it was started with.
        ``errors`` is the reading end of its stderr, if that is ours to read while it runs: who prints more
        than a pipe holds must not wait for us. ``on_end`` gets the result and the time before the start,
        while pids that the command made may still be claimed from Children.
        ``on_begun`` gets the command's pid before anything else happens.

        Raises:
            CommandNotStarted: the program cannot be executed.
        """
        since = self._children.expect()
        try:
            _leave_keys()
            with oom_score_adj(oom_adj):
                pid = spawn(argv, self._environment, stdio)
        except BaseException:
            self._children.settled()
            raise
        if on_begun is not None:
            on_begun(pid)
        self._running += 1
        command = Command(pid, self._children)
        words = _Words(self._reactor, errors)

        def ended(status: int) -> None:
            timer.cancel()
            log = _tail_of_file(runtime_log)
            try:
                on_end(Result(exit_code_of(status), command.timed_out, log, words.end()), since)
            finally:
                self._children.settled()
                self._running -= 1
                self._tell_if_idle()

        timer = self._reactor.later(timeout_s, command.time_is_up)
        self._children.watch(pid, since, ended)
        return command


def _leave_keys() -> None:
    try:
        leave_session_keyring()
    except OSError as error:
        raise CommandNotStarted(f"no session keyring for another command: {error.strerror}") from error


class Command:
    """A running command."""

    __slots__ = ("_children", "_pid", "timed_out")

    def __init__(self, pid: int, children: Children) -> None:
        """Made by :meth:`Commands.run`."""
        self._pid = pid
        self._children = children
        self.timed_out = False

    def time_is_up(self) -> None:
        """Kill it for its time limit."""
        self.timed_out = True
        self.kill()

    def kill(self) -> None:
        """SIGKILL to its process group; a reaped one is fine."""
        if self._pid in self._children:
            kill_group(self._pid)


def _tail_of_file(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # not there, or no descriptors left: the command's end must be told all the same
        return ""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _WORDS_BYTES, max(0, size - _WORDS_BYTES)).decode(errors="replace")
    finally:
        os.close(descriptor)


class _Words:
    """The end of what a command writes into a non-blocking pipe, read as it comes."""

    __slots__ = ("_descriptor", "_reactor", "_tail")

    def __init__(self, reactor: Reactor, descriptor: int | None) -> None:
        """None: there is no pipe."""
        self._reactor = reactor
        self._descriptor = descriptor
        self._tail = b""
        if descriptor is not None:
            reactor.watch(descriptor, READ, self._read)

    def _read(self) -> bool:
        """Take what is there, of a flood a part; whether there was anything."""
        assert self._descriptor is not None
        try:
            data = os.read(self._descriptor, _AT_ONCE_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._reactor.unwatch(self._descriptor)
        self._tail = (self._tail + data)[-_WORDS_BYTES:]
        return bool(data)

    def end(self) -> str:
        """What there is of it; the pipe is the caller's alone from now on."""
        if self._descriptor is not None:
            for _ in range(_LAST_READS):  # what it left behind may go on writing
                if not self._read():
                    break
            self._reactor.unwatch(self._descriptor)
        return self._tail.decode(errors="replace")
