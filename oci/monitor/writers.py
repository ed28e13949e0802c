"""The log writers as the monitor sees them: one for each file system, forked when needed, replaced when dead.

The monitor itself touches no file system of logs: it hands descriptors and orders on, and waits for no reply.
What a writer must know is kept here, so that another one can be told all of it; both find what was under way
in the journal. Only attachments end with their writer.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from host.fds import close_all, receive_message
from oci.monitor import journal, writer
from oci.monitor.children import Children
from oci.monitor.forked import fork
from oci.monitor.outgoing import Outgoing
from oci.monitor.reactor import READ, WRITE, Reactor, Timer, complain
from oci.monitor.writer_words import (
    HUNG,
    Add,
    Attach,
    Detach,
    Drain,
    Drop,
    Open,
    Order,
    Refusal,
    Reopen,
    decode_reply,
    encode_order,
)

Done = Callable[[Refusal | None], None]
_REPLY_BYTES = 8192
_RESTART_S = 1.0  # before the next one is started, when some have died …
_EARLY_S = 1.0  # … so soon after their start …
_EARLY_DEATHS = 3  # … in a row
_QUEUE_LIMIT = 4096  # orders for a writer that takes none


class Stuck(NamedTuple):
    """A container's log that its file system has not taken for a while."""

    id: str
    path: str
    since_ns: int
    is_refused: bool  # there is no room, says the file system; otherwise it says nothing at all


class Output:
    """One container's output: its log, and the reading ends of its streams, which are kept here as well."""

    def __init__(self, container_id: str, path: str | None, size_max: int, rate: int, device: int) -> None:
        """``device`` is that of the log's file system, and tells the writers apart; 0 without a log."""
        self.id = container_id
        self.path = path
        self.size_max = size_max
        self.rate = rate
        self.device = device
        self.streams: dict[str, int] = {}
        self.draining: Done | None = None


class _Asked(NamedTuple):
    """An order that waits for its reply."""

    order: Order
    since_ns: int
    done: Done
    timer: Timer | None


class Writer:
    """One log writer, whichever process it is at the time."""

    def __init__(self, reactor: Reactor, children: Children, device: int, journal_descriptor: int) -> None:
        """For the file system ``device``; the journal is taken over. Nothing is started yet."""
        self.journal = journal_descriptor
        self._reactor = reactor
        self._children = children
        self._device = device
        self._outputs: dict[str, Output] = {}
        self._asked: dict[int, _Asked] = {}
        self._last_rid = 0
        self._queue = Outgoing()
        self._sock: socket.socket | None = None
        self._pid = 0  # 0: not needed yet; -1: it died, or could not be started, and another try is to come
        self._started = 0.0
        self._early_deaths = 0
        self._closed = False

    # --- what containers ask for ------------------------------------------------------------------

    def open(self, output: Output, timeout_s: float, done: Done) -> None:
        """Open a new container's log; ``done`` once, with a refusal if it could not be opened in time."""
        self._outputs[output.id] = output

        def opened(refusal: Refusal | None) -> None:
            if refusal is not None:
                self.drop(output)
            done(refusal)

        self._ask(_opening(output, patient=False), timeout_s, opened)

    def add(self, output: Output, streams: Mapping[str, int]) -> None:
        """Read the streams (taken over) of a container whose log is open."""
        output.streams = dict(streams)
        self._tell(Add(output.id, list(streams)), list(streams.values()))

    def adopt(self, output: Output, streams: Mapping[str, int]) -> None:
        """Go on with a dead monitor's container, or begin with one that has no log: nobody waits for it."""
        self._outputs[output.id] = output
        self._ask(_opening(output, patient=True), None, _ignore)
        self.add(output, streams)

    def reopen(self, output: Output, timeout_s: float, done: Done) -> None:
        """Open the log anew; ``done`` as in :meth:`open`."""
        self._ask(Reopen(output.id), timeout_s, done)

    def attach(self, output: Output, number: int, sinks: Mapping[str, int]) -> None:
        """Copy streams to ``sinks``, by name, which are taken over."""
        try:
            self._tell(Attach(output.id, number, list(sinks)), list(sinks.values()))
        finally:
            close_all(sinks.values())

    def detach(self, output: Output, number: int) -> None:
        """End an attachment."""
        self._tell(Detach(output.id, number))

    def drain(self, output: Output, done: Callable[[], None]) -> None:
        """The container has ended: ``done`` once its log is complete, whenever that is."""

        def drained(_: Refusal | None) -> None:
            self._forget(output)
            done()

        output.draining = drained
        self._ask(Drain(output.id), None, drained)

    def drop(self, output: Output) -> None:
        """The container was not created."""
        self._tell(Drop(output.id))
        self._forget(output)

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for an answer."""
        return any(asked.timer is not None for asked in self._asked.values())

    def stuck(self, age_s: float) -> list[Stuck]:
        """What the file system has kept us waiting for, for longer than ``age_s``."""
        oldest_ns = time.time_ns() - int(age_s * 1e9)
        found = {
            one.container_id: (one.since_ns, one.is_refused) for one in journal.waiting(self.journal, age_s)
        }
        for asked in self._asked.values():
            if asked.since_ns < oldest_ns:
                found.setdefault(asked.order.id, (asked.since_ns, False))
        if not found:
            return []
        paths = {output.id: output.path for output in self._outputs.values()}
        return [
            Stuck(name, path, since_ns, is_refused)
            for name, (since_ns, is_refused) in found.items()
            if (path := paths.get(name)) is not None
        ]

    def _forget(self, output: Output) -> None:
        if self._outputs.pop(output.id, None) is not None:
            close_all(output.streams.values())
            output.streams = {}

    # --- orders and replies -----------------------------------------------------------------------

    def _ask(self, order: Order, timeout_s: float | None, done: Done) -> None:
        """Give an order that is replied; ``done`` is called once."""
        rid = self._last_rid + 1

        def time_is_up() -> None:
            self._asked[rid] = self._asked[rid]._replace(done=_ignore, timer=None)
            done(Refusal(HUNG, f"the file system of log {self._path(order)} has not answered"))

        timer = None if timeout_s is None else self._reactor.later(timeout_s, time_is_up)
        self._asked[rid] = _Asked(order, time.time_ns(), done, timer)
        try:
            self._tell(order)
        except OSError as error:
            self._replied(rid, Refusal(HUNG, str(error)))

    def _path(self, order: Order) -> str | None:
        output = self._outputs.get(order.id)
        return None if output is None else output.path

    def _replied(self, rid: int, refusal: Refusal | None) -> None:
        asked = self._asked.pop(rid, None)
        if asked is None:
            return
        if asked.timer is not None:
            asked.timer.cancel()
        asked.done(refusal)

    def _tell(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        self._last_rid += 1
        if self._sock is None and self._pid == 0:
            self._replace()  # there was none before: it is told everything, too
        elif self._sock is not None:
            self._send(encode_order(self._last_rid, order), descriptors)

    def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send now, or when the writer reads; the descriptors are duplicated."""
        if len(self._queue) >= _QUEUE_LIMIT:
            raise OSError(f"the log writer {self._pid} has left {_QUEUE_LIMIT} orders unread")
        self._queue.add(data, descriptors)
        if len(self._queue) == 1:
            self._flush()

    def _flush(self) -> None:
        assert self._sock is not None
        with contextlib.suppress(OSError):  # it is dead, and that is heard of in another way
            if self._queue.flush(self._sock):
                self._reactor.watch(self._sock.fileno(), READ, self._readable)
            else:
                self._reactor.watch(self._sock.fileno(), READ | WRITE, self._ready)

    def _ready(self) -> None:
        self._flush()
        self._readable()

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data, _ = receive_message(self._sock, _REPLY_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reactor.unwatch(self._sock.fileno())
            return  # it has ended, or is about to: _ended() comes
        self._replied(*decode_reply(data))

    # --- the process ------------------------------------------------------------------------------

    def _start(self) -> None:
        """Fork a writer, and tell it of all outputs and of all that was asked for."""
        self._started = time.monotonic()
        what = f"{os.major(self._device)}:{os.minor(self._device)}" if self._device else "no log"
        pid, sock = fork(what, lambda its: writer.run(its, self.journal), self.journal)
        self._pid, self._sock = pid, sock
        self._children.watch(pid, self._started, self._ended)
        self._reactor.watch(sock.fileno(), READ, self._readable)

    def _ended(self, wait_status: int) -> None:
        """The writer has died, and writes nothing any more."""
        complain(f"log writer {self._pid} of device {self._device} died, wait status {wait_status}")
        self._hang_up()
        self._pid = -1
        self._early_deaths = self._early_deaths + 1 if time.monotonic() - self._started < _EARLY_S else 0
        if self._early_deaths < _EARLY_DEATHS:
            self._replace()
        else:
            self._reactor.later(_RESTART_S, self._replace)

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._reactor.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self._queue.clear()

    def _replace(self) -> None:
        if self._closed:
            return
        try:
            self._start()
        except OSError as error:
            complain(f"no log writer can be started: {error.strerror}")
            self._pid = -1
            self._reactor.later(_RESTART_S, self._replace)
            return
        for rid in [rid for rid, asked in self._asked.items() if asked.order.id not in self._outputs]:
            del self._asked[rid]
        for output in self._outputs.values():
            self._tell_again(output)

    def _tell_again(self, output: Output) -> None:
        """A new writer hears of a container; what was asked of the one before, it is asked again."""
        mine = {rid: asked for rid, asked in self._asked.items() if asked.order.id == output.id}
        if not any(isinstance(asked.order, Open) for asked in mine.values()):
            self._send(encode_order(0, _opening(output, patient=True)), ())
        for rid, asked in mine.items():
            if not isinstance(asked.order, Drain):
                self._send(encode_order(rid, asked.order), ())
        if output.streams:
            self._send(encode_order(0, Add(output.id, list(output.streams))), list(output.streams.values()))
        for rid, asked in mine.items():
            if isinstance(asked.order, Drain):
                self._send(encode_order(rid, asked.order), ())

    def close(self, deadline: float) -> None:
        """End the process, if it does not hang; until ``deadline`` (monotonic) is waited for that."""
        self._closed = True
        self._hang_up()
        while self._pid > 0 and time.monotonic() < deadline:
            try:
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                return
            time.sleep(0.002)


class Writers:
    """All of them, by file system."""

    def __init__(self, reactor: Reactor, children: Children) -> None:
        """None yet."""
        self._reactor = reactor
        self._children = children
        self._by_device: dict[int, Writer] = {}

    def of(self, device: int, journal_descriptor: int | None = None) -> Writer:
        """The writer of a file system; a new one takes ``journal_descriptor`` (closed otherwise) over."""
        found = self._by_device.get(device)
        if found is None:
            number = journal.new_journal() if journal_descriptor is None else journal_descriptor
            found = self._by_device[device] = Writer(self._reactor, self._children, device, number)
        elif journal_descriptor is not None:
            os.close(journal_descriptor)
        return found

    @property
    def are_asked(self) -> bool:
        """Whether somebody waits for an answer of one."""
        return any(each.is_asked for each in self._by_device.values())

    def stuck(self, age_s: float) -> list[Stuck]:
        """Of all file systems, the oldest first."""
        found = [one for each in self._by_device.values() for one in each.stuck(age_s)]
        return sorted(found, key=lambda one: one.since_ns)

    def close(self, timeout_s: float) -> None:
        """End them, but for those that a file system holds."""
        deadline = time.monotonic() + timeout_s
        for each in self._by_device.values():
            each.close(deadline)


def _opening(output: Output, *, patient: bool) -> Open:
    return Open(output.id, output.path, output.size_max, output.rate, patient)


def _ignore(_: Refusal | None) -> None:
    """Nobody waits for this."""
