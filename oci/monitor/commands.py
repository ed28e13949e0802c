"""Carrying out one task of a runtime: by its program, or inside of the monitor (inside.py); with given stdio,
bounded in time, its own words kept."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from host.keyrings import leave_session_keyring
from host.spawn import CommandNotStarted, exit_code_of, kill_group, oom_score_adj, spawn
from oci.monitor.children import Children
from oci.monitor.reactor import READ, Reactor, Timer

_AT_ONCE_BYTES = 65536
_LAST_READS = 16  # a pipe holds as much, and more
_NOT_LAUNCHED = 127
KILLED = 128 + signal.SIGKILL
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


class Task(NamedTuple):
    """What is to be done: ``argv``, or rather ``inside`` of the monitor (see protocol.Create).

    It starts with ``oom_adj``, not with our own: runtimes pass on what they are not told to set.
    """

    argv: Sequence[str]
    runtime_log: str
    timeout_s: float
    inside: Mapping[str, object] | None = None
    oom_adj: int = 0


class Begun(Protocol):
    """Who hears of a process that has been launched, once: what it does from then on, it does known."""

    def begun(self, pid: int) -> None:
        """It is a child of ours; when this returns it may go on."""
        ...

    def failed(self, words: str) -> None:
        """There is no process, and there will be none."""
        ...


class Launcher(Protocol):
    """Makes a process that carries a task out."""

    def launch(self, task: Task, stdio: Sequence[int], told: Begun) -> Callable[[], None]:
        """``stdio`` are three descriptors, still the caller's. What is returned gives the launch up, if the
        process has not begun; ``told`` is told nothing then.

        Raises:
            CommandNotStarted: the program cannot be executed.
        """
        ...


class Programs:
    """Tasks as commands of a runtime's program."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Commands get ``environment``."""
        self._environment = dict(environment)

    def launch(self, task: Task, stdio: Sequence[int], told: Begun) -> Callable[[], None]:
        """See Launcher; it has begun when this returns.

        crun gives what it executes in a container the session keyring that it was started with: so each
        command has one of its own.
        """
        _leave_keys()
        with oom_score_adj(task.oom_adj):
            pid = spawn(task.argv, self._environment, stdio)
        told.begun(pid)
        return lambda: None


class Commands:
    """Carries tasks out; none waits for another."""

    def __init__(self, reactor: Reactor, children: Children, programs: Launcher, inside: Launcher) -> None:
        """Tasks that say so are launched by ``inside``, all others by ``programs``."""
        self._reactor = reactor
        self._children = children
        self._programs = programs
        self._inside = inside
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
        task: Task,
        stdio: Sequence[int],
        *,
        errors: int | None,
        on_end: Callable[[Result, float], None],
        on_begun: Callable[[int], None] | None = None,
    ) -> "Command":
        """Start ``task`` with ``stdio`` (three descriptors, still the caller's).

        ``errors`` is the reading end of its stderr, if that is ours to read while it runs: who prints more
        than a pipe holds must not wait for us. ``on_end`` gets the result and the time before the start,
        while pids that the command made may still be claimed from Children.
        ``on_begun`` gets the command's pid before anything else happens.

        Raises:
            CommandNotStarted: the program cannot be executed.
        """
        since = self._children.expect()
        words = _Words(self._reactor, errors)

        def ended(status: int, timed_out: bool, said: str) -> None:
            log = _tail_of_file(task.runtime_log)
            try:
                on_end(Result(status, timed_out, log, words.end() + said), since)
            finally:
                self._over()

        command = Command(self._children, since, on_begun, ended)
        launcher = self._programs if task.inside is None else self._inside
        try:
            give_up = launcher.launch(task, stdio, command)
        except BaseException:
            words.end()
            self._children.settled()
            raise
        self.began()
        command.runs(give_up, self._reactor.later(task.timeout_s, command.time_is_up))
        return command

    def _over(self) -> None:
        self._children.settled()
        self.over()

    def began(self) -> None:
        """Something else is under way that is not to be disturbed; to be followed by :meth:`over`."""
        self._running += 1

    def over(self) -> None:
        """It has ended."""
        self._running -= 1
        self._tell_if_idle()


def _leave_keys() -> None:
    try:
        leave_session_keyring()
    except OSError as error:
        raise CommandNotStarted(f"no session keyring for another command: {error.strerror}") from error


class Command:
    """A task under way; ends once."""

    def __init__(
        self,
        children: Children,
        since: float,
        on_begun: Callable[[int], None] | None,
        on_end: Callable[[int, bool, str], None],
    ) -> None:
        """Made by :meth:`Commands.run`; ``on_end`` gets exit code, whether its time was up, and words."""
        self._children = children
        self._since = since
        self._on_begun = on_begun
        self._on_end = on_end
        self._pid = 0
        self._timer: Timer | None = None
        self._give_up: Callable[[], None] | None = None
        self._timed_out = False

    def begun(self, pid: int) -> None:
        """See Begun."""
        self._pid = pid
        if self._on_begun is not None:
            self._on_begun(pid)
        self._children.watch(pid, self._since, lambda status: self._end(exit_code_of(status), ""))

    def failed(self, words: str) -> None:
        """See Begun."""
        self._end(_NOT_LAUNCHED, words)

    def runs(self, give_up: Callable[[], None], timer: Timer) -> None:
        """It has been launched."""
        self._give_up, self._timer = give_up, timer

    def _end(self, code: int, words: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_end(code, self._timed_out, words)

    def time_is_up(self) -> None:
        """Kill it for its time limit."""
        self._timed_out = True
        self.kill()

    def kill(self) -> None:
        """SIGKILL to its process group; a reaped one is fine."""
        if self._pid:
            if self._pid in self._children:
                kill_group(self._pid)
        elif self._give_up is not None:
            give_up, self._give_up = self._give_up, None
            give_up()
            self._end(KILLED, "")


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
