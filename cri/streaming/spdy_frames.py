"""Frames of SPDY/3.1: constants and the bytes of each kind (draft 3.1, sections 2.2 and 2.6)."""

import struct
from enum import IntEnum
from typing import Final

VERSION: Final = 3
FLAG_FIN: Final = 0x01
FLAG_UNIDIRECTIONAL: Final = 0x02
HEADER_BYTES: Final = 8
MAX_STREAM_ID: Final = 0x7FFFFFFF
MAX_PAYLOAD_BYTES: Final = 0xFFFFFF  # the length field has 24 bits

_HEADER = struct.Struct(">II")
_WORD = struct.Struct(">I")
_TWO_WORDS = struct.Struct(">II")


class FrameType(IntEnum):
    """Control frames; those that are not listed are skipped as section 2.2.1 asks."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetStatus(IntEnum):
    """Why a stream was ended (section 2.6.3)."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9


class GoAwayStatus(IntEnum):
    """Why a connection takes no more streams (section 2.6.6)."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def control(kind: FrameType, payload: bytes, flags: int = 0) -> bytes:
    """A control frame."""
    return _HEADER.pack(0x80000000 | VERSION << 16 | kind, flags << 24 | len(payload)) + payload


def data_head(stream_id: int, length: int) -> bytes:
    """What comes before ``length`` bytes of data, at most MAX_PAYLOAD_BYTES, that do not end the stream."""
    return _HEADER.pack(stream_id, length)


def data(stream_id: int, payload: bytes, *, end: bool = False) -> bytes:
    """As many data frames as the payload needs; FIN, when asked for, is on the last."""
    if len(payload) <= MAX_PAYLOAD_BYTES:
        return _HEADER.pack(stream_id, (FLAG_FIN << 24 if end else 0) | len(payload)) + payload
    head = data(stream_id, payload[:MAX_PAYLOAD_BYTES])
    return head + data(stream_id, payload[MAX_PAYLOAD_BYTES:], end=end)


def syn_stream(stream_id: int, block: bytes, flags: int) -> bytes:
    """Open a stream; no associated stream, highest priority number 0, slot 0."""
    return control(FrameType.SYN_STREAM, _TWO_WORDS.pack(stream_id, 0) + b"\0\0" + block, flags)


def syn_reply(stream_id: int, block: bytes, flags: int) -> bytes:
    """Accept a stream."""
    return control(FrameType.SYN_REPLY, _WORD.pack(stream_id) + block, flags)


def headers(stream_id: int, block: bytes, flags: int) -> bytes:
    """More headers for an open stream."""
    return control(FrameType.HEADERS, _WORD.pack(stream_id) + block, flags)


def rst_stream(stream_id: int, status: int) -> bytes:
    """End a stream abnormally."""
    return control(FrameType.RST_STREAM, _TWO_WORDS.pack(stream_id, status))


def ping(ping_id: int) -> bytes:
    """A ping, or the answer to one: the id tells which."""
    return control(FrameType.PING, _WORD.pack(ping_id))


def goaway(last_stream_id: int, status: int) -> bytes:
    """No stream above ``last_stream_id`` was or will be taken."""
    return control(FrameType.GOAWAY, _TWO_WORDS.pack(last_stream_id, status))


def split_header(buffer: bytes | bytearray, at: int) -> tuple[int, int, int]:
    """First word, flags and payload length of the frame that begins at ``at``."""
    word, rest = _HEADER.unpack_from(buffer, at)
    return word, rest >> 24, rest & MAX_PAYLOAD_BYTES


def word_at(payload: bytes, at: int) -> int:
    """The 32-bit number at an offset."""
    return int(_WORD.unpack_from(payload, at)[0])
