"""What a SPDY connection tells its owner (cri.streaming.spdy)."""

from dataclasses import dataclass

from cri.streaming.spdy_headers import Headers


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream; ``ended`` when it will send nothing on it."""

    stream_id: int
    headers: Headers
    ended: bool = False


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """The peer answered a stream of ours."""

    stream_id: int
    headers: Headers
    ended: bool = False


@dataclass(frozen=True, slots=True)
class HeadersReceived:
    """More headers on an open stream."""

    stream_id: int
    headers: Headers
    ended: bool = False


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A piece of a stream, not necessarily a whole frame; ``ended`` closes the peer's half."""

    stream_id: int
    data: bytes
    ended: bool = False


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer ended a stream abnormally; both halves are closed."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class PongReceived:
    """The answer to our ping."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The peer takes no more streams."""

    last_stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """The peer broke the protocol; nothing it sends is read any more. Always the last event."""

    reason: str


Event = (
    StreamOpened
    | StreamAccepted
    | HeadersReceived
    | DataReceived
    | StreamReset
    | PongReceived
    | GoAwayReceived
    | ConnectionFailed
)
