"""Tasks that are carried out inside of the monitor, by forks of a warm process (oci/inside): no program runs.

The zygote is started with the first task, and again when it has died or hangs; a task whose worker has not
begun then is given to the next one. A worker waits until its pid is known here and was told to the daemon, so
that there is never one at work that nobody knows of; after that it is a command as any other.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from host.fds import close_all, duplicates, receive_message, send_message
from host.spawn import CommandNotStarted, exit_code_of, kill_group, spawn
from oci.inside.words import GO, MESSAGE_LIMIT, decode_first, encode_work
from oci.monitor.children import Children
from oci.monitor.commands import Begun, Task
from oci.monitor.outgoing import Outgoing
from oci.monitor.reactor import READ, WRITE, Reactor, Timer, complain
from oci.orders import BadOrder

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from oci.inside.main import main; main()"
_NAME_ROOM = "." * 2048  # a worker's command line takes the place of the zygote's: as much of it as fits
_TRIES = 3  # of a task, each with another zygote
_BEGIN_S = 20.0  # an interpreter's start on a loaded machine, and all that waits before us


class _Waiting(NamedTuple):
    """A task whose worker has not begun."""

    message: bytes
    stdio: Sequence[int]  # duplicates
    told: Begun
    tries: int


class Inside:
    """Launches workers; see commands.Launcher."""

    def __init__(self, reactor: Reactor, children: Children, environment: Mapping[str, str]) -> None:
        """Nothing is started yet; the zygote is to have ``environment``."""
        self._reactor = reactor
        self._children = children
        self._environment = dict(environment)
        self._sock: socket.socket | None = None
        self._pid = 0
        self._queue = Outgoing()
        self._waiting: dict[int, tuple[socket.socket, _Waiting, Timer]] = {}  # by the channel's number

    def launch(self, task: Task, stdio: Sequence[int], told: Begun) -> Callable[[], None]:
        """See Launcher."""
        assert task.inside is not None
        try:
            message = encode_work(task.argv, task.oom_adj, task.inside)
        except BadOrder as error:
            raise CommandNotStarted(str(error)) from error
        try:
            waiting = _Waiting(message, duplicates(stdio), told, _TRIES)
        except OSError as error:
            raise CommandNotStarted(f"no zygote: {error.strerror}") from error
        try:
            self._ask(waiting)
        except BaseException:
            close_all(waiting.stdio)
            raise
        return lambda: self._forget(told)

    def close(self) -> None:
        """The monitor ends, and the zygote with it."""
        self._hang_up()

    # --- tasks ------------------------------------------------------------------------------------

    def _ask(self, waiting: _Waiting) -> None:
        """Give a task to the zygote, with a channel to its worker.

        Raises:
            CommandNotStarted: that cannot be done; the task's descriptors are still the caller's.
        """
        try:
            self._give(waiting)
        except OSError as error:
            raise CommandNotStarted(f"no zygote: {error.strerror}") from error

    def _give(self, waiting: _Waiting) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        with its:
            its.setblocking(True)
            try:
                self._send(waiting.message, [its.fileno(), *waiting.stdio])
            except BaseException:
                ours.close()
                raise
        number = ours.fileno()
        timer = self._reactor.later(_BEGIN_S, lambda: self._hangs(number))
        self._waiting[number] = (ours, waiting, timer)
        self._reactor.watch(number, READ, lambda: self._answered(number))

    def _take(self, number: int) -> tuple[socket.socket, _Waiting]:
        channel, waiting, timer = self._waiting.pop(number)
        timer.cancel()
        self._reactor.unwatch(number)
        return channel, waiting

    def _answered(self, number: int) -> None:
        """The worker is there, or its channel's other end is gone with the zygote."""
        channel, waiting = self._take(number)
        with channel:
            try:
                data, _ = receive_message(channel, MESSAGE_LIMIT)
            except OSError:
                data = b""
            if not data:
                self._again(waiting)
                return
            pid, words = decode_first(data)
            close_all(waiting.stdio)
            if not pid:
                waiting.told.failed(words)
                return
            waiting.told.begun(pid)
            try:
                send_message(channel, GO)
            except OSError:
                pass  # it was killed: that is heard of in another way

    def _again(self, waiting: _Waiting) -> None:
        """Nothing has been done for it."""
        try:
            if waiting.tries <= 1:
                raise CommandNotStarted(
                    f"no zygote: {_TRIES} of them died before they could begin; see monitor.log"
                )
            self._ask(waiting._replace(tries=waiting.tries - 1))
        except CommandNotStarted as error:
            close_all(waiting.stdio)
            waiting.told.failed(str(error))

    def _forget(self, told: Begun) -> None:
        """Give a task up: its worker, should there be one some day, reads the end of its channel."""
        for number in [number for number, waiting in self._waiting.items() if waiting[1].told is told]:
            channel, waiting = self._take(number)
            channel.close()
            close_all(waiting.stdio)

    def _hangs(self, number: int) -> None:
        """The zygote has not made a worker for so long: each that waits is given to another."""
        complain(f"the zygote {self._pid} has not begun within {_BEGIN_S:g} s, and is killed")
        if self._pid in self._children:
            kill_group(self._pid)
        self._hang_up()
        for each in list(self._waiting):
            channel, waiting = self._take(each)
            channel.close()
            self._again(waiting)

    # --- the process ------------------------------------------------------------------------------

    def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Now, or when it reads; the descriptors are duplicated."""
        if self._sock is None:
            self._start()
        self._queue.add(data, descriptors)
        if len(self._queue) == 1:
            self._flush()

    def _flush(self) -> None:
        assert self._sock is not None
        try:
            if self._queue.flush(self._sock):
                self._reactor.watch(self._sock.fileno(), READ, self._ended_talk)
            else:
                self._reactor.watch(self._sock.fileno(), READ | WRITE, self._ready)
        except OSError:
            self._hang_up()  # the channels of what was queued end, too

    def _ready(self) -> None:
        self._flush()

    def _ended_talk(self) -> None:
        """It never says a word: this is its end."""
        self._hang_up()

    def _start(self) -> None:
        """
        Raises:
            CommandNotStarted, OSError: there is none.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, _NAME_ROOM]
        since = self._children.expect()
        try:
            with its, open(os.devnull, "r+b", buffering=0) as null:
                pid = spawn(argv, self._environment, [null.fileno(), null.fileno(), 2, its.fileno()])
            self._children.watch(pid, since, lambda status: self._ended(pid, status))
        except BaseException:
            ours.close()
            raise
        finally:
            self._children.settled()
        self._pid, self._sock = pid, ours
        self._reactor.watch(ours.fileno(), READ, self._ended_talk)

    def _ended(self, pid: int, wait_status: int) -> None:
        complain(f"the zygote {pid} has ended, code {exit_code_of(wait_status)}")
        if pid == self._pid:
            self._hang_up()

    def _hang_up(self) -> None:
        """No word goes to this one any more; what it has received it may still begin."""
        if self._sock is not None:
            self._reactor.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self._queue.clear()
