"""The daemon's end of the monitor's socket: requests matched with replies, events handed on.

The socket is non-blocking and served by the event loop; nothing here waits for the monitor but futures.
"""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from host.fds import close_all, receive_message, send_message
from oci.monitor.protocol import MESSAGE_LIMIT, Json, ProtocolError, Request, decode, encode_request
from oci.monitor.types import (
    LogHung,
    LogRefused,
    MonitorFailed,
    MonitorLost,
    MonitorUnavailable,
    NotLive,
    UnknownContainer,
)

log = logging.getLogger(__name__)

_ERRORS = {
    "not_found": UnknownContainer,
    "not_live": NotLive,
    "log_refused": LogRefused,
    "log_hung": LogHung,
}


class Reply(NamedTuple):
    """A successful reply; whoever awaits it owns the descriptors."""

    result: Json
    descriptors: list[int]


# Gets the pid and the pidfd (taken over) of the command that works on a request.
OnBegun = Callable[[int, int], None]


class Connection:
    """One connection; when it is lost, all waiting requests fail and ``on_lost`` is called once."""

    def __init__(
        self, sock: socket.socket, on_event: Callable[[Json], None], on_lost: Callable[[], None]
    ) -> None:
        """Serve ``sock`` (connected, SOCK_SEQPACKET), which now belongs to the connection."""
        self._sock = sock
        self._on_event = on_event
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._on_begun: dict[int, OnBegun] = {}
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._last_id = 0
        self._open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    @property
    def is_open(self) -> bool:
        """Whether it has not been lost or closed."""
        return self._open

    async def request(
        self, request: Request, descriptors: Sequence[int] = (), on_begun: OnBegun | None = None
    ) -> Reply:
        """Send a request and wait for its reply; the given descriptors stay the caller's.

        ``on_begun`` is called when the monitor has started a runtime's command for it.

        Raises:
            UnknownContainer, NotLive, MonitorFailed: the monitor said so.
            MonitorUnavailable: the connection is or gets lost; whether the request was done is unknown.
        """
        reply: asyncio.Future[Reply] = self._loop.create_future()
        rid = self.post(request, descriptors)
        self._waiting[rid] = reply
        if on_begun is not None:
            self._on_begun[rid] = on_begun
        try:
            return await reply
        except asyncio.CancelledError:
            if reply.done() and not reply.cancelled() and reply.exception() is None:
                close_all(reply.result().descriptors)  # it had come, but its taker is gone
            raise
        finally:
            self._on_begun.pop(rid, None)

    def post(self, request: Request, descriptors: Sequence[int] = ()) -> int:
        """Send a request without waiting; its reply is dropped unless someone registered for the id.

        Raises:
            MonitorUnavailable: the connection is lost.
        """
        if not self._open:
            raise MonitorUnavailable("the connection to the monitor is lost")
        self._last_id += 1
        data = encode_request(self._last_id, request)
        # Duplicates, for the message may have to wait and the caller may close his.
        self._outgoing.append((data, [os.dup(descriptor) for descriptor in descriptors]))
        self._flush()
        return self._last_id

    def close(self) -> None:
        """Close without calling ``on_lost``; waiting requests fail. Idempotent."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._drop_outgoing()
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(MonitorLost("the monitor went away before it answered"))
        self._waiting.clear()
        self._on_begun.clear()

    def _lose(self) -> None:
        if self._open:
            self.close()
            self._on_lost()

    def _flush(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            try:
                send_message(self._sock, data, descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except (BrokenPipeError, ConnectionResetError):
                break  # the reader finds the end, after what the monitor said last
            except OSError:
                self._loop.call_soon(self._lose)
                return
            self._outgoing.popleft()
            close_all(descriptors)
        self._drop_outgoing()
        self._loop.remove_writer(self._sock)

    def _drop_outgoing(self) -> None:
        for _, descriptors in self._outgoing:
            close_all(descriptors)
        self._outgoing.clear()

    def _readable(self) -> None:
        for _ in range(64):  # leave room for the loop's other work
            if not self._open:
                return
            try:
                data, descriptors = receive_message(self._sock, MESSAGE_LIMIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # told once, before what the monitor said last and the end (unix(7))
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._lose()
                return
            try:
                self._dispatch(decode(data), descriptors)
            except Exception:
                log.exception("monitor message not understood")

    def _dispatch(self, message: Json, descriptors: list[int]) -> None:
        if message.get("event") == "begun":
            self._begun(message, descriptors)
            return
        if "event" in message:
            close_all(descriptors)  # events carry none
            self._on_event(message)
            return
        rid = message.get("rid")
        reply = self._waiting.pop(rid, None) if isinstance(rid, int) else None
        if reply is None or reply.done():
            close_all(descriptors)
            return
        result = message.get("ok")
        if isinstance(result, dict):
            reply.set_result(Reply(result, descriptors))
        else:
            close_all(descriptors)
            reply.set_exception(_error(message.get("error")))

    def _begun(self, message: Json, descriptors: list[int]) -> None:
        rid, pid = message.get("rid"), message.get("pid")
        on_begun = self._on_begun.get(rid) if isinstance(rid, int) else None
        if on_begun is None or not isinstance(pid, int) or len(descriptors) != 1:
            close_all(descriptors)
        else:
            on_begun(pid, descriptors[0])


def _error(error: object) -> Exception:
    if not isinstance(error, dict):
        return ProtocolError("a reply without result or error")
    kind = _ERRORS.get(str(error.get("kind")), MonitorFailed)
    return kind(str(error.get("message")))
