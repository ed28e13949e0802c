"""Remote command over SPDY: one stream a channel, told apart by the header ``streamType``."""

from collections.abc import Sequence

from cri.streaming import spdy_events as spdy
from cri.streaming.backend import Streams
from cri.streaming.remotecommand import (
    Channel,
    ClientLeft,
    Event,
    OutputRefused,
    Ready,
    Resized,
    StdinEnded,
    StdinReceived,
    wanted,
)
from cri.streaming.resize import ResizeReader
from cri.streaming.spdy import Connection
from cri.streaming.spdy_frames import ResetStatus
from cri.streaming.spdy_headers import first
from cri.streaming.status import Outcome, render

_OUTPUTS = (Channel.STDOUT, Channel.STDERR)


class SpdyCommand:
    """The server's machine; implements CommandProtocol."""

    def __init__(self, streams: Streams, version: int) -> None:
        # A protocol without a number is what version 1 was before it had a name.
        self._version = version or 1
        self._wanted = wanted(streams, self._version)
        self._connection = Connection()
        self._replies = bytearray()
        self._ids: dict[Channel, int] = {}
        self._channels: dict[int, Channel] = {}
        self._resize = ResizeReader()

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes say."""
        events: list[Event] = []
        for event in self._connection.receive(data):
            events += self._translate(event)
            if events and isinstance(events[-1], ClientLeft):
                break
        return events

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes."""
        return self._connection.unread

    def data_to_send(self) -> bytes:
        """Stream replies, then what SPDY itself owes."""
        data = bytes(self._replies) + self._connection.data_to_send()
        self._replies.clear()
        return data

    def send_output(self, channel: Channel, data: bytes) -> Sequence[bytes]:
        """Output of the process; nothing on a stream that the client did not open or has reset."""
        stream_id = self._ids.get(channel)
        return self._connection.send_pieces(stream_id, data) if stream_id is not None else ()

    def finish(self, outcome: Outcome) -> bytes:
        """The outputs' ends, the status, the other ends, GOAWAY."""
        order = [*_OUTPUTS, Channel.ERROR, Channel.STDIN, Channel.RESIZE]
        parts = []
        for channel in order:
            if channel in self._ids:
                data = render(outcome, self._version) if channel is Channel.ERROR else b""
                parts.append(self._connection.send_data(self._ids[channel], data, end=True))
        return b"".join([*parts, self._connection.goaway()])

    def _translate(self, event: spdy.Event) -> list[Event]:
        match event:
            case spdy.StreamOpened():
                return self._open(event)
            case spdy.DataReceived(stream_id, data, ended):
                return self._data(self._channels.get(stream_id), data, ended)
            case spdy.StreamReset(stream_id):
                return self._reset(self._channels.get(stream_id))
            case spdy.ConnectionFailed(reason):
                return [ClientLeft(reason)]
        return []

    def _open(self, event: spdy.StreamOpened) -> list[Event]:
        channel = _channel(first(event.headers, "streamtype"))
        if channel is None or channel not in self._wanted or channel in self._ids:
            self._replies += self._connection.reset(event.stream_id, ResetStatus.REFUSED_STREAM)
            return []
        self._ids[channel] = event.stream_id
        self._channels[event.stream_id] = channel
        self._replies += self._connection.reply(event.stream_id)
        events: list[Event] = [Ready()] if self._ids.keys() == self._wanted else []
        return [StdinEnded(), *events] if event.ended and channel is Channel.STDIN else events

    def _data(self, channel: Channel | None, data: bytes, ended: bool) -> list[Event]:
        if channel is Channel.RESIZE:
            return [Resized(size) for size in self._resize.receive(data)]
        if channel is not Channel.STDIN:
            return []
        events: list[Event] = [StdinReceived(data)] if data else []
        return [*events, StdinEnded()] if ended else events

    def _reset(self, channel: Channel | None) -> list[Event]:
        if channel is Channel.STDIN:
            return [StdinEnded()]
        return [OutputRefused(channel)] if channel in _OUTPUTS else []


def _channel(name: str | None) -> Channel | None:
    return next((channel for channel in Channel if channel == name), None)
