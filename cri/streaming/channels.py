"""Channels in a WebSocket: every message begins with its channel's number.

The base64 forms (``v4.base64.channel.k8s.io``) send text: the number as a character, counted
from "0" on, and the rest in base64. A message is handed on as it comes, never gathered.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.frames import CloseCode

from cri.streaming.websocket import Closed, Piece, WebSocket


@dataclass(frozen=True, slots=True)
class Said:
    """The next bytes of a message of the client's on one channel; ``data`` may be empty."""

    channel: int
    data: bytes


class Channels:
    """The server's end, over an accepted WebSocket."""

    def __init__(self, socket: WebSocket, protocol: str | None) -> None:
        self._socket = socket
        self._base64 = "base64." in (protocol or "")
        self._channel: int | None = None  # of the message that has begun
        self._digits = b""  # base64 that does not make whole bytes yet
        self._padded = False

    def receive(self, data: bytes) -> list[Said | Closed]:
        """What is there by now, as far as one turn goes; nothing after ``Closed``."""
        events: list[Said | Closed] = []
        for event in self._socket.receive(data):
            if isinstance(event, Closed):
                return [*events, event]
            try:
                events += self._read(event)
            except binascii.Error:
                reason = "a message is not base64"
                # The close waits in data_to_send; it is small and the session ends with it.
                self._socket.fail(CloseCode.INVALID_DATA, reason)
                return [*events, Closed(CloseCode.INVALID_DATA, reason)]
        return events

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes."""
        return self._socket.unread

    def data_to_send(self) -> bytes:
        """Pongs and closes."""
        return self._socket.data_to_send()

    def send(self, channel: int, data: bytes) -> bytes:
        """One message."""
        if self._base64:
            return self._socket.send(chr(ord("0") + channel).encode() + base64.b64encode(data), text=True)
        return self._socket.send(bytes((channel,)) + data)

    def send_pieces(self, channel: int, data: bytes) -> Sequence[bytes]:
        """One message, in pieces to be sent in a row, so that ``data`` is not copied where that can be."""
        if self._base64:
            return (self.send(channel, data),)
        return self._socket.send_pieces(bytes((channel,)), data)

    def close(self) -> bytes:
        """A normal close."""
        return self._socket.close()

    def _read(self, piece: Piece) -> list[Said]:
        data, begins = piece.data, self._channel is None
        if begins and data:
            # 255 is the character before "0".
            self._channel = (data[0] - ord("0")) % 256 if self._base64 else data[0]
            data = data[1:]
        channel = self._channel
        if piece.ended:
            self._channel = None
        if channel is None:
            return []
        if self._base64:
            data = self._decode(data, ended=piece.ended)
        return [Said(channel, data)] if data or (begins and piece.ended) else []

    def _decode(self, text: bytes, *, ended: bool) -> bytes:
        """As many whole bytes as there are; padding ends a message.

        Raises:
            binascii.Error: it is no base64.
        """
        digits = self._digits + text
        whole = len(digits) if ended else len(digits) // 4 * 4
        if self._padded and digits:
            raise binascii.Error("data after the padding")
        data = base64.b64decode(digits[:whole], validate=True)
        self._digits = digits[whole:]
        self._padded = not ended and digits[:whole].endswith(b"=")
        return data
