"""Netlink messages as values: header, attributes, nesting (linux/netlink.h); pure bytes, no socket.

All integers are in host byte order unless a caller packs them otherwise; attributes are padded to 4 bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Message:
    """One request: the header's type and flags, and everything behind the header.

    ``what`` names the operation and its object in error messages ("add address 10.0.0.2/24 to eth0").
    """

    type: int
    flags: int
    payload: bytes
    what: str

    def encode(self, sequence: int) -> bytes:
        """The bytes to send; port id 0 lets the kernel fill in the sender."""
        head = _HEADER.pack(_HEADER.size + len(self.payload), self.type, self.flags, sequence, 0)
        return head + self.payload + b"\0" * (-len(self.payload) % 4)


@dataclass(frozen=True, slots=True)
class Reply:
    """One message from the kernel."""

    type: int
    flags: int
    sequence: int
    payload: bytes


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute: bytes as they are, an int as u32, a str with its terminating NUL."""
    if isinstance(value, int):
        data = struct.pack("=I", value)
    elif isinstance(value, str):
        data = value.encode() + b"\0"
    else:
        data = value
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def replies(data: bytes) -> Iterator[Reply]:
    """Split a datagram into its messages; a truncated tail is dropped."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield Reply(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3


def attribute_list(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes in ``data`` from ``offset`` on, in order, as (type without flag bits, value)."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & _NLA_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes in ``data`` by type; a repeated type keeps its last value."""
    return dict(attribute_list(data, offset))


def text(value: bytes) -> str:
    """A NUL-terminated string attribute."""
    return value.rstrip(b"\0").decode(errors="replace")
