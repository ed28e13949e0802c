"""A WebSocket connection without I/O after its head (RFC 6455); the handshake is that of ``websockets``.

Frames are handed on as they come, whatever their length: nothing is gathered, so what a peer can make us hold
is one control frame. Pings and closes are answered; nothing here knows what the messages mean. ``receive``
and the calls that send follow the order of their being made. A turn of ``receive`` reads a bounded number of
frames; what is left is read by the next call, with or without new bytes.

    frame's head ──▶ payload, piece by piece ──▶ next head        control frames in between, whole
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from cri.streaming.frame_budget import FRAMES_PER_TURN, TOO_MANY, FrameBudget
from cri.streaming.http_head import Head, Refused

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build of websockets without its compiled part
    from websockets.utils import apply_mask

# What the usual Go servers take, too: some clients send a whole paste or archive in one message.
LARGEST_MESSAGE_BYTES: Final = 32 * 1024 * 1024
_LARGEST_CONTROL_BYTES: Final = 125
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of a message, text or binary alike; ``ended`` with its last."""

    data: bytes
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer has closed, or broke the protocol; always the last event."""

    code: int
    reason: str


class _Broken(Exception):
    """What the peer sent cannot be; the connection is closed with ``code``."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class WebSocket:
    """The server's end."""

    def __init__(
        self, *, largest_message_bytes: int = LARGEST_MESSAGE_BYTES, budget: FrameBudget | None = None
    ) -> None:
        self._largest_bytes = largest_message_bytes
        self._budget = budget or FrameBudget()
        self._buffer = bytearray()
        self._answers = bytearray()
        self._left = 0  # bytes of the present frame's payload that are still to come
        self._mask = b""
        self._message: int | None = None  # bytes of the present message so far
        self._final = False  # whether the present frame ends it
        self._closing = False  # our close has been sent
        self._closed = False  # nothing is read any more
        self.unread = False

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

    # ---- bytes in, events out

    def receive(self, data: bytes) -> list[Piece | Closed]:
        """What is there, as far as one turn goes: ``unread`` says that more is. Nothing after ``Closed``."""
        events: list[Piece | Closed] = []
        self.unread = False
        if self._closed:
            return events
        self._buffer += data
        try:
            for _ in range(FRAMES_PER_TURN):
                if not self._step(events):
                    return events
        except _Broken as broken:
            self.fail(broken.code, str(broken))
            self._end(events, broken.code, str(broken))
            return events
        self.unread = True
        return events

    def _step(self, events: list[Piece | Closed]) -> bool:
        """Read a frame's head or the next of its payload; False when more bytes are needed."""
        if self._closed:
            return False
        if self._left:
            return self._read_payload(events)
        if (parsed := _head_of(self._buffer)) is None:
            return False
        size, first, length = parsed
        opcode = first & 0x0F
        if opcode & 0x08:
            return self._read_control(opcode, size, first, length, events)
        self._begin(opcode, length)
        if not length and not self._budget.spend():
            raise _Broken(CloseCode.POLICY_VIOLATION, TOO_MANY)
        self._mask = bytes(self._buffer[size - 4 : size])
        del self._buffer[:size]
        self._left, self._final = length, bool(first & _FIN)
        if not length and self._final:
            self._message = None
            events.append(Piece(b""))
        return True

    def _begin(self, opcode: int, length: int) -> None:
        """Check that a data frame may come now."""
        if opcode not in (Opcode.CONT, Opcode.TEXT, Opcode.BINARY):
            raise _Broken(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} has no meaning")
        if (opcode == Opcode.CONT) == (self._message is None):
            raise _Broken(CloseCode.PROTOCOL_ERROR, "a message begins within another, or goes on without one")
        self._message = (self._message or 0) + length
        if self._message > self._largest_bytes:
            raise _Broken(CloseCode.MESSAGE_TOO_BIG, f"a message has more than {self._largest_bytes} bytes")

    def _read_payload(self, events: list[Piece | Closed]) -> bool:
        if not self._buffer:
            return False
        masked = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(masked)
        data = apply_mask(masked, self._mask)
        turn = len(masked) % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        ended = self._final and not self._left
        if ended:
            self._message = None
        events.append(Piece(data, ended))
        return True

    def _read_control(
        self, opcode: int, size: int, first: int, length: int, events: list[Piece | Closed]
    ) -> bool:
        if length > _LARGEST_CONTROL_BYTES or not first & _FIN:
            raise _Broken(CloseCode.PROTOCOL_ERROR, "a control frame is cut or has more than 125 bytes")
        end = size + length
        if len(self._buffer) < end:
            return False
        data = apply_mask(bytes(self._buffer[size:end]), bytes(self._buffer[size - 4 : size]))
        del self._buffer[:end]
        if opcode == Opcode.CLOSE:
            self._on_close(data, events)
        elif opcode not in (Opcode.PING, Opcode.PONG):
            raise _Broken(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} has no meaning")
        elif not self._budget.spend():
            raise _Broken(CloseCode.POLICY_VIOLATION, TOO_MANY)
        elif opcode == Opcode.PING and not self._closing:
            self._answers += _frame(Opcode.PONG, data)
        return True

    def _on_close(self, data: bytes, events: list[Piece | Closed]) -> None:
        try:
            close = Close.parse(data)
        except (ProtocolError, UnicodeDecodeError):
            raise _Broken(CloseCode.PROTOCOL_ERROR, "a close frame is malformed") from None
        if not self._closing:
            self._closing = True
            self._answers += _frame(Opcode.CLOSE, data)
        self._end(events, close.code, close.reason)

    def _end(self, events: list[Piece | Closed], code: int, reason: str) -> None:
        self._closed = True
        self._buffer.clear()
        events.append(Closed(code, reason))

    # ---- calls in, bytes out

    def send(self, data: bytes, *, text: bool = False) -> bytes:
        """One message; nothing once either side has closed."""
        if self._closing:
            return b""
        return _frame(Opcode.TEXT if text else Opcode.BINARY, data)

    def send_pieces(self, start: bytes, data: bytes) -> Sequence[bytes]:
        """A binary message of both, in pieces to be sent in a row, so that ``data`` is not copied."""
        if self._closing:
            return ()
        return _head(Opcode.BINARY, len(start) + len(data)) + start, data

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> bytes:
        """Our close frame, after the answers that are owed; the peer answers with its own."""
        self.fail(code, reason)
        return self.data_to_send()

    def fail(self, code: int, reason: str) -> None:
        """Close because of what the peer sent; the frame waits in ``data_to_send``."""
        if not self._closing:
            self._closing = True
            self._answers += _frame(Opcode.CLOSE, Close(code, reason).serialize())

    def data_to_send(self) -> bytes:
        """Answers that the protocol owes the peer: pongs and closes. Asking takes them."""
        data = bytes(self._answers)
        self._answers.clear()
        return data


def _head_of(buffer: bytearray) -> tuple[int, int, int] | None:
    """Bytes of a frame's head with its mask, its first byte, bytes of payload; None if it is not complete."""
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    if first & _RESERVED:
        raise _Broken(CloseCode.PROTOCOL_ERROR, "reserved bits are set")
    if not second & _MASKED:
        raise _Broken(CloseCode.PROTOCOL_ERROR, "a client's frame is not masked")
    length = second & 0x7F
    size = {126: 8, 127: 14}.get(length, 6)
    if len(buffer) < size:
        return None
    if length == 126:
        (length,) = struct.unpack_from("!H", buffer, 2)
    elif length == 127:
        (length,) = struct.unpack_from("!Q", buffer, 2)
    return size, first, length


def _frame(opcode: int, data: bytes) -> bytes:
    return _head(opcode, len(data)) + data


def _head(opcode: int, length: int) -> bytes:
    """The start of a whole frame from a server (RFC 6455, section 5.2)."""
    if length <= 125:
        return struct.pack("!BB", _FIN | opcode, length)
    if length <= 0xFFFF:
        return struct.pack("!BBH", _FIN | opcode, 126, length)
    return struct.pack("!BBQ", _FIN | opcode, 127, length)
