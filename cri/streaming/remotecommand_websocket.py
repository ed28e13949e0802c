"""Remote command over the channels of a WebSocket.

0 stdin · 1 stdout · 2 stderr · 3 error · 4 resize · 255 (version 5) close the channel named next
"""

from collections.abc import Sequence
from typing import Final

from cri.streaming.backend import Streams
from cri.streaming.channels import Channels, Said
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
from cri.streaming.websocket import Closed, WebSocket

_NUMBERS: Final = {
    Channel.STDIN: 0,
    Channel.STDOUT: 1,
    Channel.STDERR: 2,
    Channel.ERROR: 3,
    Channel.RESIZE: 4,
}
_CLOSE: Final = 255
_FIRST_VERSION_WITH_CLOSE: Final = 5


class WebSocketCommand:
    """The server's machine over an accepted WebSocket; implements CommandProtocol."""

    def __init__(self, socket: WebSocket, streams: Streams, protocol: str | None) -> None:
        self._channels = Channels(socket, protocol)
        self._version = version_of(protocol)
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
        return events + [event for each in self._channels.receive(data) for event in self._translate(each)]

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes."""
        return self._channels.unread

    def data_to_send(self) -> bytes:
        """Pongs and closes."""
        return self._channels.data_to_send()

    def greeting(self) -> bytes:
        """An empty message on the lowest output: clients take it for the sign that all is connected."""
        outputs = (Channel.STDOUT, Channel.STDERR, Channel.ERROR)
        return self._send(next(channel for channel in outputs if channel in self._wanted), b"")

    def send_output(self, channel: Channel, data: bytes) -> Sequence[bytes]:
        """Output of the process, one message."""
        return self._channels.send_pieces(_NUMBERS[channel], data) if channel in self._wanted else ()

    def finish(self, outcome: Outcome) -> bytes:
        """The status when there is one to tell, and a normal close."""
        status = render(outcome, self._version)
        return (self._send(Channel.ERROR, status) if status else b"") + self._channels.close()

    def _send(self, channel: Channel, data: bytes) -> bytes:
        return self._channels.send(_NUMBERS[channel], data)

    def _translate(self, event: Said | Closed) -> list[Event]:
        if isinstance(event, Closed):
            return [ClientLeft(f"closed with code {event.code} {event.reason}".rstrip())]
        return self._message(event.channel, event.data)

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
