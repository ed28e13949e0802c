"""A SPDY/3.1 connection without I/O, either end of it (SPDY Protocol - Draft 3.1).

``receive`` takes bytes cut anywhere and returns events; the other calls return bytes that must be sent
in the order they were made, because header blocks share one zlib stream. Answers that the protocol
itself owes (pings, resets of unknown streams, the last GOAWAY) wait in ``data_to_send``.

    one half of a stream:   open ──FIN sent or received──▶ ended        both ended: forgotten
    both halves:            ──RST sent or received──▶ forgotten

There is no flow control: the Kubernetes clients neither send WINDOW_UPDATE nor heed it, so the window is
TCP's, and whoever owns the connection stops reading to hold the peer back. Data is handed on as it comes,
never gathered into frames; what is buffered is at most one control frame. A turn of ``receive`` reads a
bounded number of frames, and ``unread`` says that more are there; frames that carry nothing have a budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cri.streaming import spdy_frames as frames
from cri.streaming.frame_budget import FRAMES_PER_TURN, TOO_MANY, FrameBudget
from cri.streaming.spdy_events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadersReceived,
    PongReceived,
    StreamAccepted,
    StreamOpened,
    StreamReset,
)
from cri.streaming.spdy_frames import FLAG_FIN, FLAG_UNIDIRECTIONAL, FrameType, GoAwayStatus, ResetStatus
from cri.streaming.spdy_headers import BadHeaderBlock, Deflater, HeaderLimits, Headers, Inflater


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may make us hold."""

    headers: HeaderLimits = field(default_factory=HeaderLimits)
    control_frame_bytes: int = 64 * 1024
    streams: int = 4096


@dataclass(slots=True)
class _Stream:
    """Which halves of a stream are still open."""

    local: bool
    remote: bool


class _Broken(Exception):
    """The peer broke the protocol beyond one stream."""


class Connection:
    """One end of a SPDY/3.1 connection."""

    def __init__(
        self, *, client: bool = False, limits: Limits | None = None, budget: FrameBudget | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._budget = budget or FrameBudget()
        self.unread = False
        self._client = client
        self._next_id = 1 if client else 2
        self._next_ping = 1 if client else 2
        self._last_peer_id = 0
        self._streams: dict[int, _Stream] = {}
        self._deflater = Deflater()
        self._inflater = Inflater(self._limits.headers)
        self._buffer = bytearray()
        self._pending = bytearray()
        self._data_frame: tuple[int, int, bool] | None = None  # stream, bytes still to come, FIN
        self._leaving = False
        self._failed = False

    # ---- bytes in, events out

    def receive(self, data: bytes) -> list[Event]:
        """Read what has arrived, as far as one turn goes: ``unread`` says that more is there.

        After ``ConnectionFailed`` nothing is read any more.
        """
        events: list[Event] = []
        self.unread = False
        if self._failed:
            return events
        self._buffer += data
        try:
            for _ in range(FRAMES_PER_TURN):
                if not self._step(events):
                    return events
            self.unread = True
        except (_Broken, BadHeaderBlock) as error:
            self._failed = True
            self._buffer.clear()
            self._pending += frames.goaway(self._last_peer_id, GoAwayStatus.PROTOCOL_ERROR)
            events.append(ConnectionFailed(str(error)))
        return events

    def data_to_send(self) -> bytes:
        """The answers that ``receive`` owes the peer; asking takes them."""
        data = bytes(self._pending)
        self._pending.clear()
        return data

    # ---- calls in, bytes out

    def open_stream(self, headers: Headers, *, end: bool = False) -> tuple[int, bytes]:
        """A new stream; ``end`` says that we shall send nothing on it."""
        stream_id = self._next_id
        self._next_id += 2
        self._streams[stream_id] = _Stream(local=not end, remote=True)
        block = self._deflater.pack(headers)
        return stream_id, frames.syn_stream(stream_id, block, FLAG_FIN if end else 0)

    def reply(self, stream_id: int, headers: Headers | None = None, *, end: bool = False) -> bytes:
        """Accept a stream of the peer's; nothing when it is closed by now."""
        if not self._is_open(stream_id):
            return b""
        frame = frames.syn_reply(stream_id, self._deflater.pack(headers or {}), FLAG_FIN if end else 0)
        self._end_local(stream_id, end)
        return frame

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> bytes:
        """More headers on a stream; nothing when our half is closed."""
        if not self._is_open(stream_id):
            return b""
        frame = frames.headers(stream_id, self._deflater.pack(headers), FLAG_FIN if end else 0)
        self._end_local(stream_id, end)
        return frame

    def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> bytes:
        """Data on a stream; nothing when our half is closed, as it is once the peer has reset the stream."""
        if not self._is_open(stream_id):
            return b""
        self._end_local(stream_id, end)
        return frames.data(stream_id, data, end=end)

    def send_pieces(self, stream_id: int, data: bytes) -> Sequence[bytes]:
        """As ``send_data``, in pieces to be sent in a row, so that ``data`` is not copied."""
        if not self._is_open(stream_id):
            return ()
        if len(data) > frames.MAX_PAYLOAD_BYTES:
            return (frames.data(stream_id, data),)
        return frames.data_head(stream_id, len(data)), data

    def reset(self, stream_id: int, status: ResetStatus = ResetStatus.CANCEL) -> bytes:
        """End both halves of a stream; nothing when they are closed."""
        if self._streams.pop(stream_id, None) is None:
            return b""
        return frames.rst_stream(stream_id, status)

    def ping(self) -> tuple[int, bytes]:
        """A ping; ``PongReceived`` brings its id back."""
        ping_id = self._next_ping
        self._next_ping += 2
        return ping_id, frames.ping(ping_id)

    def goaway(self, status: GoAwayStatus = GoAwayStatus.OK) -> bytes:
        """Take no more streams from the peer; those that are open go on."""
        self._leaving = True
        return frames.goaway(self._last_peer_id, status)

    # ---- reading

    def _step(self, events: list[Event]) -> bool:
        """Read one frame, or the next piece of one; False when more bytes are needed."""
        if self._data_frame is not None:
            return self._read_data(*self._data_frame, events)
        if len(self._buffer) < frames.HEADER_BYTES:
            return False
        word, flags, length = frames.split_header(self._buffer, 0)
        if not word & 0x80000000:
            del self._buffer[: frames.HEADER_BYTES]
            self._begin_data(word, length, bool(flags & FLAG_FIN), events)
            return True
        return self._read_control(word, flags, length, events)

    def _begin_data(self, stream_id: int, length: int, fin: bool, events: list[Event]) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or not (length or fin):
            self._spend()
        if stream is not None and not stream.remote:
            self._pending += self.reset(stream_id, ResetStatus.STREAM_ALREADY_CLOSED)
            events.append(StreamReset(stream_id, ResetStatus.STREAM_ALREADY_CLOSED))
        elif stream is None and not self._was_open(stream_id):
            self._pending += frames.rst_stream(stream_id, ResetStatus.INVALID_STREAM)
        if length:
            self._data_frame = (stream_id, length, fin)
        elif fin:
            self._deliver(stream_id, b"", True, events)

    def _read_data(self, stream_id: int, left: int, fin: bool, events: list[Event]) -> bool:
        if not self._buffer:
            return False
        piece = bytes(self._buffer[:left])
        del self._buffer[:left]
        left -= len(piece)
        self._data_frame = (stream_id, left, fin) if left else None
        self._deliver(stream_id, piece, fin and not left, events)
        return True

    def _deliver(self, stream_id: int, data: bytes, ended: bool, events: list[Event]) -> None:
        """Hand data on, unless its stream was closed meanwhile: what was under way then is dropped."""
        stream = self._streams.get(stream_id)
        if stream is None or not stream.remote:
            return
        events.append(DataReceived(stream_id, data, ended))
        self._end_remote(stream_id, ended)

    def _read_control(self, word: int, flags: int, length: int, events: list[Event]) -> bool:
        if (word >> 16) & 0x7FFF != frames.VERSION:
            raise _Broken(f"SPDY version {(word >> 16) & 0x7FFF}; only 3 is spoken here")
        if length > self._limits.control_frame_bytes:
            raise _Broken(
                f"a control frame of {length} bytes; {self._limits.control_frame_bytes} are allowed"
            )
        end = frames.HEADER_BYTES + length
        if len(self._buffer) < end:
            return False
        payload = bytes(self._buffer[frames.HEADER_BYTES : end])
        del self._buffer[:end]
        self._dispatch(word & 0xFFFF, flags, payload, events)
        return True

    def _spend(self, cost: float = 1.0) -> None:
        """For a frame that carries nothing, and for headers by their size."""
        if not self._budget.spend(cost):
            raise _Broken(TOO_MANY)

    def _dispatch(self, kind: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if kind != FrameType.SYN_STREAM:
            self._spend()
        least = _LEAST_PAYLOAD.get(kind)
        if least is None:  # SETTINGS, WINDOW_UPDATE and what later drafts may add
            return
        if len(payload) < least:
            raise _Broken(f"a frame of type {kind} has {len(payload)} bytes; at least {least} are needed")
        number = frames.word_at(payload, 0)
        if kind == FrameType.PING:
            self._on_ping(number, events)
            return
        stream_id = number & frames.MAX_STREAM_ID
        fin = bool(flags & FLAG_FIN)
        if kind == FrameType.SYN_STREAM:
            self._on_syn_stream(stream_id, fin, bool(flags & FLAG_UNIDIRECTIONAL), payload, events)
        elif kind == FrameType.SYN_REPLY:
            self._on_headers(StreamAccepted, stream_id, fin, payload, events)
        elif kind == FrameType.HEADERS:
            self._on_headers(HeadersReceived, stream_id, fin, payload, events)
        elif kind == FrameType.RST_STREAM:
            if self._streams.pop(stream_id, None) is not None:
                events.append(StreamReset(stream_id, frames.word_at(payload, 4)))
        else:
            events.append(GoAwayReceived(stream_id, frames.word_at(payload, 4)))

    def _on_ping(self, ping_id: int, events: list[Event]) -> None:
        """The client's pings are odd, the server's even; an own one that comes back is an answer."""
        if bool(ping_id & 1) == self._client:
            events.append(PongReceived(ping_id))
        else:
            self._pending += frames.ping(ping_id)

    def _on_syn_stream(
        self, stream_id: int, fin: bool, unidirectional: bool, payload: bytes, events: list[Event]
    ) -> None:
        headers = self._inflater.unpack(payload[10:])
        self._spend(self._inflater.last_bytes / 1024)
        if stream_id <= self._last_peer_id or bool(stream_id & 1) == self._client:
            raise _Broken(f"stream {stream_id} may not be opened after stream {self._last_peer_id}")
        self._last_peer_id = stream_id
        if self._leaving or len(self._streams) >= self._limits.streams:
            self._spend()
            self._pending += frames.rst_stream(stream_id, ResetStatus.REFUSED_STREAM)
            return
        self._streams[stream_id] = _Stream(local=not unidirectional, remote=True)
        events.append(StreamOpened(stream_id, headers, fin))
        self._end_remote(stream_id, fin)

    def _on_headers(
        self,
        kind: type[StreamAccepted] | type[HeadersReceived],
        stream_id: int,
        fin: bool,
        payload: bytes,
        events: list[Event],
    ) -> None:
        headers = self._inflater.unpack(payload[4:])
        self._spend(self._inflater.last_bytes / 1024)
        stream = self._streams.get(stream_id)
        if stream is not None and stream.remote:
            events.append(kind(stream_id, headers, fin))
            self._end_remote(stream_id, fin)
        elif not self._was_open(stream_id):
            self._pending += frames.rst_stream(stream_id, ResetStatus.INVALID_STREAM)

    # ---- the halves of a stream

    def _is_open(self, stream_id: int) -> bool:
        stream = self._streams.get(stream_id)
        return stream is not None and stream.local

    def _was_open(self, stream_id: int) -> bool:
        """Whether the stream existed once; frames for it may have been under way when it was closed."""
        if bool(stream_id & 1) == self._client:
            return stream_id < self._next_id
        return 0 < stream_id <= self._last_peer_id

    def _end_local(self, stream_id: int, ended: bool) -> None:
        stream = self._streams[stream_id]
        stream.local = stream.local and not ended
        self._forget_if_closed(stream_id, stream)

    def _end_remote(self, stream_id: int, ended: bool) -> None:
        stream = self._streams[stream_id]
        stream.remote = stream.remote and not ended
        self._forget_if_closed(stream_id, stream)

    def _forget_if_closed(self, stream_id: int, stream: _Stream) -> None:
        if not stream.local and not stream.remote:
            del self._streams[stream_id]


_LEAST_PAYLOAD: dict[int, int] = {
    FrameType.SYN_STREAM: 10,
    FrameType.SYN_REPLY: 4,
    FrameType.RST_STREAM: 8,
    FrameType.PING: 4,
    FrameType.GOAWAY: 8,
    FrameType.HEADERS: 4,
}
