"""Name/value header blocks of SPDY/3.1 and their compression (draft 3.1, section 2.6.10).

A block is a count and length-prefixed names and values; several values of one name are parted by NUL.
All blocks of one direction share one zlib stream, so every block must be read, in order, even when
nobody wants it. What a peer can make us hold is bounded by ``HeaderLimits``.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from api.errors import InvalidArgument
from cri.streaming.spdy_dictionary import DICTIONARY

Headers = Mapping[str, tuple[str, ...]]

_LENGTH = struct.Struct(">I")
# What is sent are names of a few headers: 32 KiB a connection where zlib's defaults take 256.
_WINDOW_BITS = 12
_MEMORY_LEVEL = 5


class BadHeaderBlock(InvalidArgument):
    """A header block is malformed or larger than the limits; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """What one header block may come to once it is inflated."""

    block_bytes: int = 16 * 1024
    headers: int = 64


def first(headers: Headers, name: str) -> str | None:
    """The first value of a lower-case header name."""
    values = headers.get(name)
    return values[0] if values else None


def encode_block(headers: Headers) -> bytes:
    """The block before compression; names are lower-cased as section 2.6.10 asks."""
    parts = [_LENGTH.pack(len(headers))]
    for name, values in headers.items():
        for text in (name.lower(), "\0".join(values)):
            data = text.encode()
            parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def decode_block(block: bytes, limits: HeaderLimits) -> dict[str, tuple[str, ...]]:
    """Read an inflated block.

    Raises:
        BadHeaderBlock: a length runs past the end, bytes are left over, a name is empty, not lower
            case or repeated, text is not UTF-8, or there are more headers than ``limits`` allows.
    """
    cursor = _Cursor(block)
    count = cursor.length()
    if count > limits.headers:
        raise BadHeaderBlock(f"{count} headers in one block; {limits.headers} are allowed")
    headers: dict[str, tuple[str, ...]] = {}
    for _ in range(count):
        name, value = cursor.text(), cursor.text()
        if not name or name != name.lower() or name in headers:
            raise BadHeaderBlock(f"header name {name[:64]!r} is empty, repeated or not lower case")
        headers[name] = tuple(value.split("\0"))
    if cursor.rest():
        raise BadHeaderBlock(f"{cursor.rest()} bytes follow the last header")
    return headers


class _Cursor:
    """A position in a block; every step checks that the bytes are there."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._at = 0

    def rest(self) -> int:
        return len(self._block) - self._at

    def length(self) -> int:
        return int(_LENGTH.unpack(self._take(4))[0])

    def text(self) -> str:
        data = self._take(self.length())
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise BadHeaderBlock("a header is not UTF-8") from None

    def _take(self, size: int) -> bytes:
        if size > self.rest():
            raise BadHeaderBlock(f"a header block ends early: {size} bytes wanted, {self.rest()} left")
        data = self._block[self._at : self._at + size]
        self._at += size
        return data


class Deflater:
    """The sending side's zlib stream."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(
            zlib.Z_BEST_SPEED,
            zlib.DEFLATED,
            _WINDOW_BITS,
            _MEMORY_LEVEL,
            zlib.Z_DEFAULT_STRATEGY,
            DICTIONARY,
        )

    def pack(self, headers: Headers) -> bytes:
        """The compressed block, flushed to a byte border; blocks must be sent in the order of packing."""
        return self._zlib.compress(encode_block(headers)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    """The receiving side's zlib stream."""

    def __init__(self, limits: HeaderLimits) -> None:
        self._limits = limits
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS, DICTIONARY)
        self.last_bytes = 0  # of the last block, inflated

    def unpack(self, data: bytes) -> dict[str, tuple[str, ...]]:
        """Inflate and read one block; never holds more than ``limits.block_bytes`` of it.

        Raises:
            BadHeaderBlock: not zlib with the SPDY dictionary, or any of ``decode_block``.
        """
        limit = self._limits.block_bytes
        try:
            block = self._zlib.decompress(data, limit + 1)
        except zlib.error as error:
            raise BadHeaderBlock(f"a header block cannot be inflated: {error}") from None
        self.last_bytes = len(block)
        if len(block) > limit or self._zlib.unconsumed_tail:
            raise BadHeaderBlock(f"a header block is larger than {limit} bytes")
        return decode_block(block, self._limits)
