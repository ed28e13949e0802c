"""Port-forward over SPDY (``portforward.k8s.io``), without I/O.

Each forwarded connection is two streams of the client's with the same ``requestID``: ``error`` for our
words about it, ``data`` for the bytes; both carry the header ``port``. A client too old to send
request ids opens the error stream right before the data stream, so their stream ids differ by two.

    first stream ──second──▶ Requested ──▶ Received … Ended ──▶ finished        Aborted at any time
"""

from dataclasses import dataclass
from typing import Final, Protocol

from cri.streaming import spdy_events as spdy
from cri.streaming.spdy import Connection, Limits
from cri.streaming.spdy_frames import ResetStatus
from cri.streaming.spdy_headers import Headers, first

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"
_DATA, _ERROR = "data", "error"
# Clients number their connections; half of one waits for its other half, which comes at once.
_LONGEST_KEY: Final = 128
_MOST_INCOMPLETE: Final = 256


@dataclass(frozen=True, slots=True)
class Requested:
    """Both streams of a connection are there. ``key`` names it in every later call."""

    key: str
    port: int


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes for the pod; may come before Requested, never before the data stream."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The client sends no more on this connection; it still reads."""

    key: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """The client has reset this connection."""

    key: str


@dataclass(frozen=True, slots=True)
class Left:
    """The client has closed or broken the protocol of the whole connection; always the last event."""

    reason: str


Event = Requested | Received | Ended | Aborted | Left


class ForwardProtocol(Protocol):
    """One client's port-forward, without I/O."""

    @property
    def half_closes(self) -> bool:
        """Whether one direction of a connection can end before the other."""

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes say, as far as one turn goes; also to be asked once before any came."""

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes: let others have a turn, and call it."""

    def data_to_send(self) -> bytes:
        """What the protocol owes the client: replies, pongs. Taken by asking."""

    def incomplete(self) -> frozenset[str]:
        """Connections of which only one stream is there; each is to be failed in time."""

    def send(self, key: str, data: bytes) -> bytes:
        """Bytes from the pod."""

    def end(self, key: str) -> bytes:
        """The pod sends no more; the client may go on."""

    def fail(self, key: str, message: str) -> bytes:
        """Say why and drop the connection."""

    def finish(self, key: str) -> bytes:
        """Both directions are over: close what is still open and forget the connection."""


@dataclass(slots=True)
class _Pair:
    """The streams of one forwarded connection."""

    port: int
    data: int | None = None
    error: int | None = None


class PortForward:
    """The server's machine; implements ForwardProtocol."""

    half_closes = True

    def __init__(self, limits: Limits | None = None) -> None:
        self._connection = Connection(limits=limits)
        self._pairs: dict[str, _Pair] = {}
        self._keys: dict[int, str] = {}  # of data streams
        self._incomplete: set[str] = set()
        self._replies = bytearray()

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes say."""
        return [event for each in self._connection.receive(data) for event in self._translate(each)]

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes."""
        return self._connection.unread

    def data_to_send(self) -> bytes:
        """Stream replies and refusals, then what SPDY itself owes."""
        data = bytes(self._replies) + self._connection.data_to_send()
        self._replies.clear()
        return data

    def incomplete(self) -> frozenset[str]:
        """Connections of which only one stream is there; each is to be failed in time."""
        return frozenset(self._incomplete)

    def send(self, key: str, data: bytes) -> bytes:
        """Bytes from the pod."""
        pair = self._pairs.get(key)
        return self._connection.send_data(pair.data, data) if pair and pair.data is not None else b""

    def end(self, key: str) -> bytes:
        """The pod sends no more; the client may go on.

        The error stream ends, too: clients wait for that before they let their own side go.
        """
        pair = self._pairs.get(key)
        return b"".join(self._end_stream(stream_id) for stream_id in (pair.data, pair.error)) if pair else b""

    def fail(self, key: str, message: str) -> bytes:
        """Say why on the error stream and drop the connection."""
        pair = self._pairs.get(key)
        if pair is None:
            return b""
        said = b""
        if pair.error is not None:
            said = self._connection.send_data(pair.error, message.encode(), end=True)
        return said + self.finish(key)

    def finish(self, key: str) -> bytes:
        """Both directions are over: close what is still open and forget the connection."""
        pair = self._pairs.pop(key, None)
        self._incomplete.discard(key)
        if pair is None:
            return b""
        if pair.data is not None:
            self._keys.pop(pair.data, None)
        return b"".join(self._end_stream(stream_id) for stream_id in (pair.data, pair.error))

    def goaway(self) -> bytes:
        """Take no more connections."""
        return self._connection.goaway()

    def _end_stream(self, stream_id: int | None) -> bytes:
        return self._connection.send_data(stream_id, b"", end=True) if stream_id is not None else b""

    def _translate(self, event: spdy.Event) -> list[Event]:
        match event:
            case spdy.StreamOpened():
                return self._open(event)
            case spdy.DataReceived(stream_id, data, ended) if stream_id in self._keys:
                key = self._keys[stream_id]
                received: list[Event] = [Received(key, data)] if data else []
                return [*received, Ended(key)] if ended else received
            case spdy.StreamReset(stream_id) if stream_id in self._keys:
                return [Aborted(self._keys[stream_id])]
            case spdy.ConnectionFailed(reason):
                return [Left(reason)]
        return []

    def _open(self, event: spdy.StreamOpened) -> list[Event]:
        kind = first(event.headers, "streamtype")
        port = _port(event.headers)
        if kind not in (_DATA, _ERROR) or port is None:
            self._refuse(event.stream_id)
            return []
        key = first(event.headers, "requestid") or _implied_key(kind, event.stream_id)
        known = key in self._pairs
        if not known and (len(key) > _LONGEST_KEY or len(self._incomplete) >= _MOST_INCOMPLETE):
            self._refuse(event.stream_id)
            return []
        pair = self._pairs.setdefault(key, _Pair(port))
        if getattr(pair, kind) is not None or pair.port != port:
            self._refuse(event.stream_id)
            return []
        setattr(pair, kind, event.stream_id)
        self._replies += self._connection.reply(event.stream_id)
        return self._opened(key, pair, kind, event)

    def _opened(self, key: str, pair: _Pair, kind: str, event: spdy.StreamOpened) -> list[Event]:
        events: list[Event] = []
        if kind == _DATA:
            self._keys[event.stream_id] = key
            events += [Ended(key)] if event.ended else []
        complete = pair.data is not None and pair.error is not None
        (self._incomplete.discard if complete else self._incomplete.add)(key)
        return [Requested(key, pair.port), *events] if complete else events

    def _refuse(self, stream_id: int) -> None:
        self._replies += self._connection.reset(stream_id, ResetStatus.REFUSED_STREAM)


def _port(headers: Headers) -> int | None:
    text = first(headers, "port") or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return int(text) if 0 < int(text) <= 0xFFFF else None


def _implied_key(kind: str, stream_id: int) -> str:
    return str(stream_id if kind == _ERROR else stream_id - 2)
