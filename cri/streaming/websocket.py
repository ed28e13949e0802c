"""A WebSocket connection without I/O after its head (RFC 6455), on the core of ``websockets``.

This layer turns frames into whole messages and answers pings and closes; nothing here knows what the
messages mean. ``receive`` and the calls that send follow the order of their being made.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from cri.streaming.http_head import Head, Refused

# What the usual Go servers take, too: some clients send a whole paste or archive in one message.
LARGEST_MESSAGE_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, text or binary alike."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer has closed, or broke the protocol; always the last event."""

    code: int
    reason: str


class WebSocket:
    """The server's end."""

    def __init__(self, *, largest_message_bytes: int = LARGEST_MESSAGE_BYTES) -> None:
        # The core's parser would want the HTTP head first; h11 has read that one.
        self._protocol = ServerProtocol(state=State.OPEN, max_size=largest_message_bytes)
        self._parts: list[bytes] = []
        self._closed = False

    def accept(self, head: Head, subprotocol: str | None) -> list[tuple[str, str]]:
        """The headers of the 101 answer, which the caller sends before anything else of this connection.

        Raises:
            Refused: no WebSocket handshake that RFC 6455 allows.
        """
        if head.method != "GET":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket begins with GET", (("Allow", "GET"),))
        # The subprotocol is ours to answer: "SPDY/3.1+portforward.k8s.io" is no token of RFC 6455.
        offered = [pair for pair in head.headers if pair[0] != "sec-websocket-protocol"]
        response = ServerProtocol().accept(Request(head.target, Headers(offered)))
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise Refused(response.status_code, (response.body or b"").decode(errors="replace").strip())
        chosen = [("Sec-WebSocket-Protocol", subprotocol)] if subprotocol is not None else []
        return [*response.headers.raw_items(), *chosen]

    def receive(self, data: bytes) -> list[Message | Closed]:
        """Messages that are complete now; nothing after ``Closed``."""
        if self._closed:
            return []
        self._protocol.receive_data(data)
        events: list[Message | Closed] = []
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame) or frame.opcode not in _DATA:
                continue
            self._parts.append(bytes(frame.data))
            if frame.fin:
                events.append(Message(b"".join(self._parts)))
                self._parts.clear()
        # Our own close is not the end: the peer may still send until it has seen it.
        if self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
            self._closed = True
            events.append(self._why_closed())
        return events

    def send(self, data: bytes, *, text: bool = False) -> bytes:
        """One message; nothing once either side has closed."""
        if self._protocol.state is not State.OPEN:
            return b""
        if text:
            self._protocol.send_text(data)
        else:
            self._protocol.send_binary(data)
        return self.data_to_send()

    def send_pieces(self, start: bytes, data: bytes) -> Sequence[bytes]:
        """A binary message of both, in pieces to be sent in a row, so that ``data`` is not copied."""
        if self._protocol.state is not State.OPEN:
            return ()
        return _binary_head(len(start) + len(data)) + start, data

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> bytes:
        """Our close frame; the peer answers with its own."""
        try:
            self._protocol.send_close(code, reason)
        except InvalidState:
            return b""
        return self.data_to_send()

    def fail(self, code: int, reason: str) -> None:
        """Close because of what the peer sent; the frame waits in ``data_to_send``."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)

    def data_to_send(self) -> bytes:
        """Answers that the protocol owes the peer: pongs and closes."""
        return b"".join(self._protocol.data_to_send())

    def _why_closed(self) -> Closed:
        close = self._protocol.close_rcvd or self._protocol.close_sent
        if close is None:
            return Closed(CloseCode.ABNORMAL_CLOSURE, str(self._protocol.parser_exc or "closed"))
        return Closed(close.code, close.reason)


def _binary_head(length: int) -> bytes:
    """The start of a whole binary frame from a server (RFC 6455, section 5.2)."""
    if length <= 125:
        return struct.pack("!BB", _WHOLE_BINARY, length)
    if length <= 0xFFFF:
        return struct.pack("!BBH", _WHOLE_BINARY, 126, length)
    return struct.pack("!BBQ", _WHOLE_BINARY, 127, length)


_WHOLE_BINARY: Final = 0x80 | Opcode.BINARY
_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
