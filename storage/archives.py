"""Archives of images as named files, wherever they lie: in a directory, a tar file, or a compressed one.

A tar file is read in place, by the positions of its members. Only a compressed one is first written out,
since its index stands at its end; that copy is bounded (storage/scratch.py). Headers are read as a layer's
are, so that they are bounded too; compression is what a layer may have (storage/unpack/streams.py).
"""

import asyncio
import contextlib
import os
import posixpath
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

from api.errors import InvalidArgument
from storage.scratch import write_bounded
from storage.unpack.faults import LayerFault, Limits
from storage.unpack.streams import MAGIC_BYTES, Stream, is_compressed
from storage.unpack.tar import BLOCK, Entry, Reader, Source, Type, is_header

_CHUNK_BYTES = 1 << 20
_MEMBERS = 100_000  # of an archive


class BadArchive(InvalidArgument):
    """A file is no image archive, or an incomplete one."""


class Archive(Protocol):
    """Named files, wherever they lie. The methods block, but for ``open``."""

    def __contains__(self, name: str) -> bool: ...
    def size(self, name: str) -> int: ...
    def read(self, name: str, limit: int) -> bytes: ...
    def open(self, name: str) -> AsyncIterator[bytes]: ...


@contextlib.asynccontextmanager
async def opened(path: Path, scratch: Path, limits: Limits) -> AsyncIterator[Archive]:
    if path.is_dir():
        yield DirectoryArchive(path)
        return
    temporary = scratch / f"{secrets.token_hex(8)}.tar"
    try:
        plain = await asyncio.to_thread(_decompressed, path, temporary, limits)
        yield await asyncio.to_thread(TarArchive, plain, limits)
    finally:
        temporary.unlink(missing_ok=True)


def _decompressed(path: Path, temporary: Path, limits: Limits) -> Path:
    try:
        with path.open("rb", buffering=0) as file:
            if not is_compressed(file.read(MAGIC_BYTES)):
                return path
            file.seek(0)
            stream = Stream(file.fileno(), limits)
            stream.begin()
            chunks = stream.chunks()
            first = next(chunks, b"")
            while len(first) < BLOCK and (more := next(chunks, b"")):
                first += more
            if not is_header(first[:BLOCK]):
                raise BadArchive(f"{path}: what is compressed in it is no tar archive")
            with temporary.open("xb") as target:
                write_bounded(
                    chain((first,), chunks), target, limits, what=str(path), made_of=path.stat().st_size
                )
    except (OSError, LayerFault) as error:
        raise BadArchive(f"{path}: {_words(error)}") from error
    return temporary


def _words(error: Exception) -> str:
    """Without the number and the name, which stands before it."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


async def _chunks(path: Path, offset: int, size: int) -> AsyncIterator[bytes]:
    file: BinaryIO = await asyncio.to_thread(path.open, "rb")
    try:
        file.seek(offset)
        while size and (chunk := await asyncio.to_thread(file.read, min(size, _CHUNK_BYTES))):
            size -= len(chunk)
            yield chunk
    finally:
        file.close()


class DirectoryArchive:
    """An unpacked archive; its files are ordinary files below the directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, name: str) -> Path:
        try:
            path = (self._root / name).resolve()
            if path.is_relative_to(self._root.resolve()) and path.is_file():
                return path
        except (OSError, RuntimeError, ValueError):  # too long, a loop, a zero byte
            pass
        raise BadArchive(f"{self._root}: there is no file {name[:300]!r}")

    def __contains__(self, name: str) -> bool:
        return (self._root / name).is_file()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._path(name).stat().st_size

    def read(self, name: str, limit: int) -> bytes:
        """A whole small file."""
        if self.size(name) > limit:
            raise BadArchive(f"{self._root}: {name} is larger than {limit} bytes")
        return self._path(name).read_bytes()

    def open(self, name: str) -> AsyncIterator[bytes]:
        """A file in chunks."""
        return _chunks(self._path(name), 0, self.size(name))


class _FileSource(Source):
    """A file as the tar reader wants it, which passes over what is not read, and knows where it is."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(iter(()))
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def tell(self) -> int:
        """The position of the next byte."""
        return self._file.tell()

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes; fewer only at the end of the file."""
        return self._file.read(count)

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes; returns how many the file did not have."""
        position = self._file.tell()
        self._file.seek(min(position + count, self._size))
        return max(0, position + count - self._size)

    def rest_is_zero(self) -> bool:
        """True: what follows an archive is nobody's business."""
        return True


@dataclass(frozen=True, slots=True)
class _Member:
    """An entry, and where its content begins."""

    entry: Entry
    position: int


class TarArchive:
    """An uncompressed tar file, read by the positions of its members."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._members = dict(_members(file, replace(limits or Limits(), entries=_MEMBERS)))
        except LayerFault as fault:
            raise BadArchive(f"{path} is no tar archive: {fault.text} {fault.entry}".rstrip()) from fault
        except OSError as error:
            raise BadArchive(f"{path}: {_words(error)}") from error

    def _member(self, name: str) -> _Member:
        wanted = posixpath.normpath(name)
        for _ in range(8):  # docker save links a layer that occurs twice
            member = self._members.get(wanted)
            if member is None:
                break
            kind = member.entry.type
            if kind is Type.FILE and member.entry.sparse is None:
                return member
            if kind not in (Type.SYMLINK, Type.HARD_LINK):
                break
            base = posixpath.dirname(wanted) if kind is Type.SYMLINK else ""
            wanted = posixpath.normpath(posixpath.join(base, os.fsdecode(member.entry.link)))
        raise BadArchive(f"{self._path}: there is no file {name[:300]!r}")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """Bytes of a member."""
        return self._member(name).entry.size

    def read(self, name: str, limit: int) -> bytes:
        """A whole small member."""
        member = self._member(name)
        if member.entry.size > limit:
            raise BadArchive(f"{self._path}: {name[:300]} is larger than {limit} bytes")
        with self._path.open("rb") as file:
            file.seek(member.position)
            return file.read(member.entry.size)

    def open(self, name: str) -> AsyncIterator[bytes]:
        """A member in chunks."""
        member = self._member(name)
        return _chunks(self._path, member.position, member.entry.size)


def _members(file: BinaryIO, limits: Limits) -> Iterator[tuple[str, _Member]]:
    source = _FileSource(file)
    for entry in Reader(source, limits):
        yield posixpath.normpath(os.fsdecode(entry.name)), _Member(entry, source.tell())
