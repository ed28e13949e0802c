"""Channels in a WebSocket: every message begins with its channel's number.

The base64 forms (``v4.base64.channel.k8s.io``) send text: the number as a character, counted
from "0" on, and the rest in base64.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.frames import CloseCode

from cri.streaming.websocket import Closed, WebSocket


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the client's on one channel; ``data`` may be empty."""

    channel: int
    data: bytes


class Channels:
    """The server's end, over an accepted WebSocket."""

    def __init__(self, socket: WebSocket, protocol: str | None) -> None:
        self._socket = socket
        self._base64 = "base64." in (protocol or "")

    def receive(self, data: bytes) -> list[Said | Closed]:
        """Messages that are complete now; nothing after ``Closed``."""
        events: list[Said | Closed] = []
        for event in self._socket.receive(data):
            if isinstance(event, Closed):
                return [*events, event]
            try:
                events += [self._read(event.data)] if event.data else []
            except binascii.Error:
                reason = "a message is not base64"
                # The close waits in data_to_send; it is small and the session ends with it.
                self._socket.fail(CloseCode.INVALID_DATA, reason)
                return [*events, Closed(CloseCode.INVALID_DATA, reason)]
        return events

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

    def _read(self, message: bytes) -> Said:
        if not self._base64:
            return Said(message[0], message[1:])
        # 255 is the character before "0".
        return Said((message[0] - ord("0")) % 256, base64.b64decode(message[1:], validate=True))
