"""A tar reader for image layers: ustar, pax (global headers too) and GNU long names (POSIX.1-2001, tar(5)).

It makes ``Entry`` values out of an iterator of byte chunks and touches no file system. What is in an entry
can be given to the kernel: names and links without zero bytes, owners of 32 bits, times of 64. Sparse files
are those of storage/unpack/sparse.py.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from storage.unpack.faults import Kind, LayerFault, Limits
from storage.unpack.sparse import MAP, NUMBYTES, OFFSET, Sparse, read_sparse

BLOCK = 512
_ZERO_BLOCK = bytes(BLOCK)
_NANOSECONDS = 10**9
_LARGEST_ID = (1 << 32) - 2  # to chown, the last one means "leave it"
_LARGEST = (1 << 63) - 1
_HEADERS_PER_ENTRY = 4  # a pax header, a long name and a long link may come before each
_XATTR_NAME_BYTES = 255
_XATTR_BYTES = 64 << 10


class Type(IntEnum):
    """The type flag byte of a header."""

    FILE = ord("0")
    HARD_LINK = ord("1")
    SYMLINK = ord("2")
    CHARACTER = ord("3")
    BLOCK_DEVICE = ord("4")
    DIRECTORY = ord("5")
    FIFO = ord("6")


_FILE_FLAGS = frozenset(b"\x000" + b"7")  # old, ordinary and contiguous files
_TYPES = {int(member): member for member in Type} | dict.fromkeys(_FILE_FLAGS, Type.FILE)
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK, _GNU_SPARSE = b"xgLKS"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of the archive; names are the archive's own bytes."""

    name: bytes
    type: Type
    link: bytes
    mode: int  # permission bits with set-id and sticky
    uid: int
    gid: int
    size: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]
    sparse: Sparse | None = None  # None: the content is all of the file

    @property
    def stored(self) -> int:
        """Bytes of content, without holes."""
        return self.size if self.sparse is None else self.sparse.stored


class Source:
    """Chunks of any size, read in the sizes that the format wants."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = memoryview(b"")
        self._position = 0

    def _fill(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._buffer = memoryview(chunk)
                self._position = 0
                return True
        return False

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes; fewer only at the end of the stream."""
        end = self._position + count
        if end <= len(self._buffer):
            data = bytes(self._buffer[self._position : end])
            self._position = end
            return data
        parts = bytearray(self._buffer[self._position :])
        self._position = len(self._buffer)
        while len(parts) < count and self._fill():
            self._position = min(count - len(parts), len(self._buffer))
            parts += self._buffer[: self._position]
        return bytes(parts)

    def copy(self, descriptor: int, count: int) -> int:
        """Write the next ``count`` bytes to a file; returns how many the stream did not have."""
        while count:
            available = min(len(self._buffer) - self._position, count)
            if not available:
                if not self._fill():
                    break
                continue
            view = self._buffer[self._position : self._position + available]
            written = os.write(descriptor, view)
            self._position += written
            count -= written
        return count

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes; returns how many the stream did not have."""
        while count:
            available = min(len(self._buffer) - self._position, count)
            if not available:
                if not self._fill():
                    break
                continue
            self._position += available
            count -= available
        return count

    def rest_is_zero(self) -> bool:
        """Read to the end of the stream; True when nothing but zero bytes came."""
        zero = True
        while True:
            rest = self._buffer[self._position :]
            self._position = len(self._buffer)
            zero = zero and not any(bytes(rest).strip(b"\0"))
            if not self._fill():
                return zero


def parse_number(field: bytes) -> int:
    """A numeric header field: octal digits, or GNU base 256 when the top bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (len(field) * 8 - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (len(field) * 8 - 1)
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not digits.isdigit():
        raise LayerFault(Kind.CORRUPT, f"bad number {digits!r} in a header")
    try:
        return int(digits, 8)
    except ValueError as error:
        raise LayerFault(Kind.CORRUPT, f"bad number {digits!r} in a header") from error


def is_header(block: bytes) -> bool:
    """Whether this is a header block: its checksum says so."""
    try:
        return len(block) == BLOCK and parse_number(block[148:156]) == _checksum(block)
    except LayerFault:
        return False


def _checksum(header: bytes) -> int:
    return sum(header) - sum(header[148:156]) + 8 * ord(" ")


def parse_pax(data: bytes, limit: int = 4096) -> dict[bytes, bytes]:
    """The records of a pax header, ``LENGTH KEY=VALUE\\n`` each; the length counts itself.

    Raises:
        LayerFault: it is malformed, or has more than ``limit`` records.
    """
    records: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    position = 0
    while position < len(data):
        blank = data.find(b" ", position, position + 20)
        digits = data[position:blank] if blank > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        key, equals, value = data[blank + 1 : max(end - 1, 0)].partition(b"=")
        if end <= blank or end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise LayerFault(Kind.CORRUPT, "malformed pax header")
        position = end
        if key in (OFFSET, NUMBYTES):  # the only ones that come again and again
            if (len(pieces) % 2 == 0) != (key == OFFSET):
                raise LayerFault(Kind.CORRUPT, "pieces of a sparse file out of order")
            pieces.append(value)
            continue
        records[key] = value
        if len(records) > limit:
            raise LayerFault(Kind.TOO_LARGE, f"a pax header of more than {limit} records")
    if pieces:
        records[MAP] = b",".join(pieces)
    return records


def parse_time(text: bytes) -> int:
    """Seconds with an optional fraction, as nanoseconds; digits below one nanosecond are dropped."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    digits = whole[1:] if negative else whole
    if not digits.isdigit() or len(digits) > 20 or (fraction and not fraction.isdigit()):
        raise LayerFault(Kind.CORRUPT, f"bad time {text[:40]!r} in a pax header")
    value = int(digits) * _NANOSECONDS + int((fraction + b"000000000")[:9])
    return _bounded_time(-value if negative else value)


def _bounded_time(time_ns: int) -> int:
    """A time beyond 64 bits of nanoseconds is the epoch, as containerd has it; one of seconds is no time."""
    if abs(time_ns) > _LARGEST * _NANOSECONDS:
        raise LayerFault(Kind.CORRUPT, "a time of more than 64 bits")
    return time_ns if abs(time_ns) <= _LARGEST else 0


def _decimal(records: Mapping[bytes, bytes], key: bytes, default: int) -> int:
    text = records.get(key, b"")
    if not text:
        return default
    if not text.isdigit() or len(text) > 20:
        raise LayerFault(Kind.CORRUPT, f"bad {key.decode()} {text[:40]!r} in a pax header")
    return int(text)


class Reader:
    """Iterate over the entries; ``copy_content`` takes the bytes of the entry that came last.

    Raises:
        LayerFault: while iterating, with the entry's name where it is known.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._global: dict[bytes, bytes] = {}
        self._global_bytes = 0
        self._headers = 0
        self._extension_bytes = 0
        self._left = 0
        self._padding = 0
        self._sparse: Sparse | None = None
        self._name = b""

    def __iter__(self) -> Iterator[Entry]:
        count = 0
        while (entry := self._next()) is not None:
            count += 1
            if count > self._limits.entries:
                raise LayerFault(Kind.TOO_LARGE, f"more than {self._limits.entries} entries")
            self._name = entry.name
            self._left = stored = entry.stored
            self._padding = -stored % BLOCK
            self._sparse = entry.sparse
            yield entry
            self._pass_over(self._left + self._padding)
        if not self._source.rest_is_zero():
            raise LayerFault(Kind.CORRUPT, "trailing garbage after the end of the archive")

    def copy_content(self, descriptor: int) -> None:
        """Write the content of the current entry to a file, from where the descriptor stands; holes are left
        as they are."""
        count, self._left = self._left, 0
        if self._sparse is not None:
            self._copy_pieces(descriptor, self._sparse)
        elif self._source.copy(descriptor, count):
            raise self._truncated()

    def _copy_pieces(self, descriptor: int, sparse: Sparse) -> None:
        position = 0
        for offset, length in sparse.pieces:
            os.lseek(descriptor, offset - position, os.SEEK_CUR)
            if self._source.copy(descriptor, length):
                raise self._truncated()
            position = offset + length
        if position < sparse.size:
            # A byte, and not ftruncate, which the process is not allowed.
            os.lseek(descriptor, sparse.size - position - 1, os.SEEK_CUR)
            os.write(descriptor, b"\0")

    def _pass_over(self, count: int) -> None:
        if count and self._source.skip(count):
            raise self._truncated()

    def _truncated(self) -> LayerFault:
        return LayerFault(
            Kind.TRUNCATED, "the archive ends within an entry", self._name.decode(errors="replace")
        )

    def _next(self) -> Entry | None:
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while (header := self._header()) is not None:
            flag = header[156]
            size = parse_number(header[124:136])
            if flag == _PAX:
                records = parse_pax(self._extension(size), self._limits.records)
            elif flag == _PAX_GLOBAL:
                self._extend_global(self._extension(size))
            elif flag == _LONG_NAME:
                long_name = self._extension(size).rstrip(b"\0")
            elif flag == _LONG_LINK:
                long_link = self._extension(size).rstrip(b"\0")
            else:
                records = self._global | records
                name = records.get(b"path") or long_name or _short_name(header)
                try:
                    return self._entry(header, records, name, long_link)
                except LayerFault as fault:
                    fault.entry = name[:200].decode(errors="replace")
                    raise
        return None

    def _extend_global(self, data: bytes) -> None:
        """Every entry after it pays for a global header, so that even one that is replaced counts."""
        self._global_bytes += len(data)
        if self._global_bytes > self._limits.header_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"global headers of {self._global_bytes} bytes")
        self._global |= parse_pax(data, self._limits.records)

    def _header(self) -> bytes | None:
        """The next header block; None at the end of the archive, with or without its two zero blocks."""
        header = self._source.read(BLOCK)
        if header == _ZERO_BLOCK:
            second = self._source.read(BLOCK)
            if second and second != _ZERO_BLOCK:
                raise LayerFault(Kind.CORRUPT, "a zero block inside the archive")
            return None
        if not header:
            return None
        if len(header) < BLOCK:
            raise self._truncated()
        self._headers += 1
        if self._headers > self._limits.entries * _HEADERS_PER_ENTRY:
            raise LayerFault(Kind.TOO_LARGE, f"more than {self._headers - 1} headers")
        if parse_number(header[148:156]) != _checksum(header):
            after = f" after {self._name.decode(errors='replace')!r}" if self._name else ""
            raise LayerFault(Kind.CORRUPT, f"bad header checksum{after}")
        return header

    def _extension(self, size: int) -> bytes:
        if not 0 <= size <= self._limits.header_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"an extended header of {size} bytes")
        self._extension_bytes += size
        if self._extension_bytes > self._limits.extension_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"extended headers of {self._extension_bytes} bytes together")
        data = self._source.read(size)
        if len(data) < size:
            raise self._truncated()
        self._pass_over(-size % BLOCK)
        return data

    def _entry(self, header: bytes, records: Mapping[bytes, bytes], name: bytes, long_link: bytes) -> Entry:
        if len(name) > self._limits.name_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"a name of {len(name)} bytes")
        flag = header[156]
        if flag == _GNU_SPARSE:
            raise LayerFault(Kind.UNSUPPORTED, "sparse files in GNU tar's oldest form are not supported")
        kind = _TYPES.get(flag)
        if kind is None:
            raise LayerFault(Kind.UNSUPPORTED, f"unknown entry type {chr(flag)!r}")
        size = _decimal(records, b"size", parse_number(header[124:136]))
        if not 0 <= size <= _LARGEST:
            raise LayerFault(Kind.CORRUPT, f"bad size {size}")
        uid = _decimal(records, b"uid", parse_number(header[108:116]))
        gid = _decimal(records, b"gid", parse_number(header[116:124]))
        if not (0 <= uid <= _LARGEST_ID and 0 <= gid <= _LARGEST_ID):
            raise LayerFault(Kind.CORRUPT, f"owner {uid}:{gid} is none that a file can have")
        link = records.get(b"linkpath") or long_link or header[157:257].split(b"\0", 1)[0]
        if b"\0" in link:
            raise LayerFault(Kind.HOSTILE, f"zero byte in a link to {link[:200]!r}")
        if len(link) > self._limits.name_bytes:
            raise LayerFault(Kind.CORRUPT, f"a link of {len(link)} bytes")
        if flag == 0 and name.endswith(b"/"):
            kind = Type.DIRECTORY  # how tar said it before there was a type for it
        mtime = records.get(b"mtime")
        sparse = self._sparse_of(records, size) if records and kind is Type.FILE else None
        if sparse is not None:
            name, size = sparse.name or name, sparse.size
        return Entry(
            name=name,
            type=kind,
            link=link,
            mode=parse_number(header[100:108]) & 0o7777,
            uid=uid,
            gid=gid,
            size=size if kind is Type.FILE else 0,  # the others have no content, whatever the field says
            mtime_ns=parse_time(mtime) if mtime else _header_time(header[136:148]),
            xattrs=_xattrs(records) if records else (),
            sparse=sparse,
        )

    def _sparse_of(self, records: Mapping[bytes, bytes], size: int) -> Sparse | None:
        """The sparse file that this is, if it is one; ``size`` is that of the content and its map."""
        taken = 0

        def read(count: int) -> bytes:
            nonlocal taken
            taken += count
            return self._source.read(count)

        sparse = read_sparse(records, read, self._limits.header_bytes, size)
        if sparse is None:
            return None
        if sparse.stored != size - taken:
            raise LayerFault(Kind.CORRUPT, f"pieces of {sparse.stored} bytes in {size - taken}")
        if sparse.size > self._limits.total_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"a sparse file of {sparse.size} bytes")
        if len(sparse.name) > self._limits.name_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"a name of {len(sparse.name)} bytes")
        return sparse


def _short_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:  # GNU's "ustar  " keeps times where the prefix is
        return header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _header_time(field: bytes) -> int:
    time_ns = parse_number(field) * _NANOSECONDS
    return time_ns if 0 <= time_ns <= _LARGEST else _bounded_time(time_ns)


def _xattrs(records: Mapping[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    prefix = b"SCHILY.xattr."
    found = []
    for key, value in records.items():
        if key.startswith(prefix):
            name = key[len(prefix) :]
            if b"\0" in name or not 0 < len(name) <= _XATTR_NAME_BYTES or len(value) > _XATTR_BYTES:
                raise LayerFault(Kind.HOSTILE, f"attribute {name[:40]!r} is none that a file can have")
            found.append((os.fsdecode(name), value))
    return tuple(found)
