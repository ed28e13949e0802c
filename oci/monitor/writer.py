"""A log writer: the process that reads the output of containers and writes their logs, for one file system.

The monitor forks one for each file system that has logs (and one for output that has none), gives it orders
on a socket pair, and forks another when it dies. Whatever blocks here, open, write, close, holds up the logs
of this file system and nothing else. It ends with the monitor: a successor's writer goes on by the journal.
"""

import os
import select
import socket
from typing import NoReturn

from host.fds import close_all, receive_message, send_message
from host.memory import keep_freed_memory
from oci.monitor.journal import Journal
from oci.monitor.logfile import LogFile
from oci.monitor.output import Sink, Stream
from oci.monitor.pace import Allowance, Pace
from oci.monitor.places import refusal_of
from oci.monitor.reactor import READ, Reactor, complain
from oci.monitor.writer_words import (
    Add,
    Attach,
    Detach,
    Drain,
    Drop,
    Open,
    Order,
    Refusal,
    Reopen,
    decode_order,
    encode_reply,
)

_NICE = 5  # the weight of a third: whoever floods his log waits before others' execs do
_MESSAGE_LIMIT = 64 * 1024
# Others may hold a container's pipe open after its first process (with a shared PID namespace): they are
# given this long to finish their lines.
_DRAIN_S = 0.5


class _Output:
    """One container's streams, log and attachments."""

    def __init__(self, log: LogFile | None, rate: int) -> None:
        self.log = log
        self.allowance = Allowance(rate)
        self.streams: dict[str, Stream] = {}
        self.attachments: dict[int, list[Sink]] = {}
        self.draining: int | None = None  # the number of the order

    @property
    def is_drained(self) -> bool:
        return self.draining is not None and all(stream.ended for stream in self.streams.values())

    def close(self) -> None:
        if self.log is not None:
            self.log.close()


class LogWriter:
    """Obeys orders; see the module."""

    def __init__(self, reactor: Reactor, sock: socket.socket, journal: Journal) -> None:
        """Serve ``sock``, whose other end is the monitor's."""
        self._reactor = reactor
        self._sock = sock
        self._journal = journal
        self._pace = Pace()
        self._outputs: dict[str, _Output] = {}
        sock.setblocking(False)
        reactor.watch(sock.fileno(), READ, lambda: None)  # obey() comes first in every round

    def run(self) -> NoReturn:
        """Write until the monitor is gone."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while True:
            self._pace.begin()
            self._reactor.turn(first=self.obey)
            rest_s = self._pace.rest_s()
            if rest_s:
                poll.poll(rest_s * 1000)  # orders do not wait for that

    def obey(self) -> None:
        """Obey all orders that are there: what a stream brings after one was given comes after it."""
        while True:
            try:
                data, descriptors = receive_message(self._sock, _MESSAGE_LIMIT)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                os._exit(0)  # what is under way is in the journal
            rid, order = decode_order(data)
            try:
                self._obey(rid, order, descriptors)
            except Exception:
                complain(f"{type(order).__name__} failed", trace=True)
                self._reply(rid, Refusal("failed", f"the log writer failed at {type(order).__name__}"))

    def _obey(self, rid: int, order: Order, descriptors: list[int]) -> None:
        output = self._outputs.get(order.id)
        match order:
            case Open():
                self._reply(rid, self._open(order))
            case Add() if output is not None:
                self._add(order, output, descriptors)
            case Reopen():
                self._reply(rid, _reopen(output))
            case Attach() if output is not None:
                _attach(order, output, descriptors)
            case Detach() if output is not None:
                for sink in output.attachments.pop(order.number, []):
                    sink.close()
            case Drain() if output is not None:
                self._drain(rid, order.id, output)
            case Drop() if output is not None:
                del self._outputs[order.id]
                output.close()
            case _:
                close_all(descriptors)
                self._reply(rid, None)

    def _reply(self, rid: int, refusal: Refusal | None) -> None:
        self._sock.setblocking(True)  # the monitor reads
        try:
            send_message(self._sock, encode_reply(rid, refusal))
        except OSError:
            os._exit(0)  # it is gone
        self._sock.setblocking(False)

    def _open(self, order: Open) -> Refusal | None:
        log = None
        if order.path is not None:
            try:
                log = LogFile(order.path, order.size_max, patient=order.patient)
            except OSError as error:
                return refusal_of(error)
        self._outputs[order.id] = _Output(log, order.rate)
        return None

    def _add(self, order: Add, output: _Output, descriptors: list[int]) -> None:
        for name, descriptor in zip(order.streams, descriptors, strict=True):
            output.streams[name] = Stream(
                self._reactor,
                self._pace,
                output.allowance,
                self._journal,
                order.id,
                name,
                descriptor,
                output.log,
                lambda: self._tell_if_drained(order.id, output),
            )
        for slot, line in list(self._journal.unfinished):
            if line.container_id == order.id and line.stream in output.streams:
                self._journal.unfinished.remove((slot, line))
                output.streams[line.stream].is_within_line(slot)
        self._recover(order.id, output)
        for stream in output.streams.values():
            stream.resume()

    def _recover(self, container_id: str, output: _Output) -> None:
        """Log what the writer before had read, when all that it may have written in part is taken back."""
        left = [
            (slot, chunk)
            for slot, chunk in self._journal.left
            if chunk.container_id == container_id and chunk.stream in output.streams
        ]
        for slot, chunk in left:
            self._journal.left.remove((slot, chunk))
            if output.log is None:
                slot.done()
            elif chunk.is_under_way:
                output.log.take_back(chunk.log, slot.mended)
        for slot, chunk in left:
            if output.log is not None:
                output.streams[chunk.stream].recover(chunk, slot)

    def _drain(self, rid: int, container_id: str, output: _Output) -> None:
        output.draining = rid
        for stream in list(output.streams.values()):
            stream.drain()
        self._tell_if_drained(container_id, output)
        if container_id in self._outputs:
            self._reactor.later(_DRAIN_S, lambda: self._close_what_others_hold(container_id))

    def _close_what_others_hold(self, container_id: str) -> None:
        output = self._outputs.get(container_id)
        if output is None:
            return
        for stream in list(output.streams.values()):
            if not stream.stalled:
                stream.close()
        if container_id in self._outputs:
            self._reactor.later(_DRAIN_S, lambda: self._close_what_others_hold(container_id))

    def _tell_if_drained(self, container_id: str, output: _Output) -> None:
        if output.is_drained and self._outputs.get(container_id) is output:
            del self._outputs[container_id]
            output.close()
            assert output.draining is not None
            self._reply(output.draining, None)


def _reopen(output: _Output | None) -> Refusal | None:
    if output is None or output.log is None:
        return None
    try:
        output.log.reopen()
    except OSError as error:
        return refusal_of(error)
    return None


def _attach(order: Attach, output: _Output, descriptors: list[int]) -> None:
    console = output.streams.get("console")
    sinks = output.attachments[order.number] = []
    for name, descriptor in zip(order.streams, descriptors, strict=True):
        stream = console if console is not None and name == "stdout" else output.streams.get(name)
        if stream is None or stream.ended:
            os.close(descriptor)  # the attached end sees the end of output at once
        else:
            sinks.append(stream.add_sink(descriptor))


def run(sock: socket.socket, journal: int) -> NoReturn:
    """Be a writer, in a process that was forked from the monitor."""
    os.nice(_NICE)
    keep_freed_memory(1 << 20)
    LogWriter(Reactor(), sock, Journal(journal)).run()
