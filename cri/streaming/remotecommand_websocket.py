"""Remote command over WebSocket: every message begins with its channel's number.

    0 stdin · 1 stdout · 2 stderr · 3 error · 4 resize · 255 (version 5) close the channel named next

The base64 forms send text: the number as a digit, the rest in base64.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from websockets.frames import CloseCode

from cri.streaming import websocket
from cri.streaming.backend import Streams
from cri.streaming.remotecommand import (
    Channel,
    ClientLeft,
    Event,
    Ready,
    Resized,
    StdinEnded,
    StdinReceived,
    version_of,
    wanted,
)
from cri.streaming.resize import ResizeReader
from cri.streaming.status import Outcome, render
from cri.streaming.websocket import WebSocket

_NUMBERS: Final = {
    Channel.STDIN: 0,
    Channel.STDOUT: 1,
    Channel.STDERR: 2,
    Channel.ERROR: 3,
    Channel.RESIZE: 4,
}
_CLOSE: Final = 255
_FIRST_VERSION_WITH_CLOSE: Final = 5


class _Malformed(Exception):
    """A message has no channel or is not base64."""


class WebSocketCommand:
    """The server's machine over an accepted WebSocket; implements CommandProtocol."""

    def __init__(self, socket: WebSocket, streams: Streams, protocol: str | None) -> None:
        self._socket = socket
        self._version = version_of(protocol)
        self._base64 = "base64." in (protocol or "")
        self._wanted = wanted(streams, max(self._version, 4))  # every form has a resize channel
        self._resize = ResizeReader()
        self._stdin_open = Channel.STDIN in self._wanted
        self._greeted = False

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes say; the first call, even with none, says Ready."""
        events: list[Event] = []
        if not self._greeted:
            self._greeted = True
            events.append(Ready())
        for event in self._socket.receive(data):
            events += self._translate(event)
            if events and isinstance(events[-1], ClientLeft):
                break
        return events

    def data_to_send(self) -> bytes:
        """Pongs and closes."""
        return self._socket.data_to_send()

    def greeting(self) -> bytes:
        """An empty message on the lowest output: clients take it for the sign that all is connected."""
        outputs = (Channel.STDOUT, Channel.STDERR, Channel.ERROR)
        return self._send(next(channel for channel in outputs if channel in self._wanted), b"")

    def send_output(self, channel: Channel, data: bytes) -> Sequence[bytes]:
        """Output of the process, one message."""
        if channel not in self._wanted:
            return ()
        if self._base64:
            return (self._send(channel, data),)
        return self._socket.send_pieces(bytes((_NUMBERS[channel],)), data)

    def finish(self, outcome: Outcome) -> bytes:
        """The status when there is one to tell, and a normal close."""
        status = render(outcome, self._version)
        return (self._send(Channel.ERROR, status) if status else b"") + self._socket.close()

    def _send(self, channel: Channel, data: bytes) -> bytes:
        number = _NUMBERS[channel]
        if self._base64:
            return self._socket.send(b"%d" % number + base64.b64encode(data), text=True)
        return self._socket.send(bytes((number,)) + data)

    def _translate(self, event: websocket.Message | websocket.Closed) -> list[Event]:
        if isinstance(event, websocket.Closed):
            return [ClientLeft(f"closed with code {event.code} {event.reason}".rstrip())]
        if not event.data:
            return []
        try:
            return self._message(*self._decode(event.data))
        except _Malformed as error:
            # The close waits in data_to_send; it is small and the session ends with it.
            self._socket.fail(CloseCode.INVALID_DATA, str(error))
            return [ClientLeft(str(error))]

    def _decode(self, message: bytes) -> tuple[int, bytes]:
        if not self._base64:
            return message[0], message[1:]
        try:
            # Numbers are single bytes counted from "0" on, so 255 is the character before it.
            return (message[0] - ord("0")) % 256, base64.b64decode(message[1:], validate=True)
        except binascii.Error:
            raise _Malformed("a message is not base64") from None

    def _message(self, number: int, data: bytes) -> list[Event]:
        if number == _NUMBERS[Channel.STDIN] and self._stdin_open:
            return [StdinReceived(data)] if data else []
        if number == _NUMBERS[Channel.RESIZE] and Channel.RESIZE in self._wanted:
            return [Resized(size) for size in self._resize.receive(data)]
        if self._closes_stdin(number, data):
            self._stdin_open = False
            return [StdinEnded()]
        return []  # channels that the request did not ask for

    def _closes_stdin(self, number: int, data: bytes) -> bool:
        return (
            self._version >= _FIRST_VERSION_WITH_CLOSE
            and self._stdin_open
            and number == _CLOSE
            and data[:1] == bytes((_NUMBERS[Channel.STDIN],))
        )
