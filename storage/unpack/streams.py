"""The byte stream of a layer: read, hash, decompress and hash again in one pass, on a thread of its own.

Chunks are a megabyte: hashing and decompression then run outside the interpreter lock for milliseconds at
a time. Many short calls would fight the tar reader's thread for that lock and lose.
"""

import hashlib
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import IO, Protocol, cast

from storage.unpack.faults import Kind, LayerFault, Limits

READ_BYTES = 1 << 18
OUTPUT_BYTES = 1 << 20
_QUEUE_CHUNKS = 8
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after one byte 0x50 to 0x5f
_ZSTD_WINDOW_BYTES = 1 << 30  # of ``zstd --long=30``; of the 2 GiB that the process may take
_BZIP2_MAGIC = b"BZh"
_XZ_MAGIC = b"\xfd7zXZ\0"
_XZ_MEMORY_BYTES = 256 << 20  # xz -9 wants 65 MiB
MAGIC_BYTES = len(_XZ_MAGIC)


def is_compressed(first: bytes) -> bool:
    """Whether a stream that begins so is in one of the forms that ``Stream`` decompresses."""
    return _is_zstd(first) or first.startswith((_GZIP_MAGIC, _BZIP2_MAGIC, _XZ_MAGIC))


def _is_zstd(first: bytes) -> bool:
    return first.startswith(_ZSTD_MAGIC) or first[1:4] == _ZSTD_SKIPPABLE


class _Inflater(Protocol):
    """What zlib's and isal's decompression objects share."""

    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Decompressor(Protocol):
    """What bz2's and lzma's decompression objects share."""

    @property
    def unused_data(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _inflaters() -> tuple[Callable[[], _Inflater], tuple[type[Exception], ...]]:
    """How to begin a gzip member, and the errors that a broken one raises.

    isal inflates about three times as fast as zlib; it is not built for every machine.
    """
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda: zlib.decompressobj(31), (zlib.error,)
    # Its type stub calls the exception an instance.
    return lambda: isal_zlib.decompressobj(31), (cast(type[Exception], isal_zlib.error), zlib.error)


class Stream:
    """The compressed stream on a descriptor; the digests are those of what ``chunks`` has gone through."""

    def __init__(self, descriptor: int, limits: Limits) -> None:
        self._descriptor = descriptor
        self._limits = limits
        self._compressed = hashlib.sha256()
        self._archive = hashlib.sha256()
        self._abandoned = False
        self._first = b""
        self.compressed_bytes = 0
        self.archive_bytes = 0

    @property
    def compressed_digest(self) -> str:
        """Hex sha256 of what was read so far."""
        return self._compressed.hexdigest()

    @property
    def archive_digest(self) -> str:
        """Hex sha256 of what was given out so far."""
        return self._archive.hexdigest()

    def abandon(self) -> None:
        """Let ``chunks`` end at its next chunk; what is left of the input is for ``drain``."""
        self._abandoned = True

    def drain(self) -> None:
        """Read and hash what is left of the input, without looking at it; ``chunks`` must have ended."""
        while self._read():
            pass

    def begin(self) -> None:
        """Read the first bytes, and import what decompresses them; later there may be no file to import."""
        self._first = self._read()
        while self._first and len(self._first) < MAGIC_BYTES and (more := self._read()):
            self._first += more
        if _is_zstd(self._first):
            import_module("zstandard")
        elif self._first.startswith(_BZIP2_MAGIC):
            import_module("bz2")
        elif self._first.startswith(_XZ_MAGIC):
            import_module("lzma")
        elif self._first.startswith(_GZIP_MAGIC):
            _inflaters()

    def chunks(self) -> Iterator[bytes]:
        """The uncompressed archive, after ``begin``.

        Raises:
            LayerFault: the compression is broken or ends early, or a limit is passed.
        """
        first, self._first = self._first, b""
        for chunk in self._decoder(first):
            self.archive_bytes += len(chunk)
            self._check_limits()
            self._archive.update(chunk)
            if self._abandoned:
                return
            yield chunk

    def _read(self) -> bytes:
        parts = []
        wanted = READ_BYTES
        while wanted and (data := os.read(self._descriptor, wanted)):
            parts.append(data)
            wanted -= len(data)
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        self._compressed.update(chunk)
        self.compressed_bytes += len(chunk)
        return chunk

    def _check_limits(self) -> None:
        if self.archive_bytes > self._limits.total_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"more than {self._limits.total_bytes} bytes uncompressed")
        if (
            self.archive_bytes > self._limits.ratio_floor_bytes
            and self.archive_bytes > self.compressed_bytes * self._limits.ratio
        ):
            raise LayerFault(Kind.TOO_LARGE, f"unpacks to more than {self._limits.ratio} times its size")

    def _decoder(self, first: bytes) -> Iterator[bytes]:
        if first.startswith(_GZIP_MAGIC):
            return self._gzip(first)
        if _is_zstd(first):
            return self._zstd(first)
        if first.startswith(_BZIP2_MAGIC):
            return self._bzip2(first)
        if first.startswith(_XZ_MAGIC):
            return self._xz(first)
        return self._plain(first)

    def _plain(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            yield chunk
            chunk = self._read()

    def _gzip(self, chunk: bytes) -> Iterator[bytes]:
        """One or more gzip members (parallel compressors write many)."""
        factory, errors = _inflaters()
        inflater = factory()
        while True:
            try:
                data = inflater.decompress(chunk, OUTPUT_BYTES)
            except errors as error:
                raise LayerFault(Kind.CORRUPT, f"broken gzip stream: {error}") from error
            if data:
                yield data
            if inflater.eof:
                chunk = inflater.unused_data or self._read()
                if not chunk:
                    return
                if not chunk.startswith(_GZIP_MAGIC[: len(chunk)]):
                    raise LayerFault(Kind.CORRUPT, "trailing garbage after the gzip stream")
                inflater = factory()
                continue
            # At the end of the input there may still be output that did not fit in one call.
            chunk = inflater.unconsumed_tail or self._read()
            if not chunk and not data:
                raise LayerFault(Kind.TRUNCATED, "the gzip stream ends early")

    def _zstd(self, chunk: bytes) -> Iterator[bytes]:
        """zstd frames, skippable ones passed over (zstd:chunked puts its index there)."""
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        source = _Rejoined(chunk, self._read)
        reader = decompressor.stream_reader(
            cast(IO[bytes], source), read_size=READ_BYTES, read_across_frames=True, closefd=False
        )
        try:
            while data := reader.read(OUTPUT_BYTES):
                yield data
        except zstandard.ZstdError as error:
            raise LayerFault(Kind.CORRUPT, f"broken zstd stream: {error}") from error

    def _bzip2(self, chunk: bytes) -> Iterator[bytes]:
        import bz2

        return self._members(chunk, bz2.BZ2Decompressor, (OSError, ValueError), _BZIP2_MAGIC, "bzip2")

    def _xz(self, chunk: bytes) -> Iterator[bytes]:
        import lzma

        def begin() -> "_Decompressor":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES)

        return self._members(chunk, begin, (lzma.LZMAError,), _XZ_MAGIC, "xz")

    def _members(
        self,
        chunk: bytes,
        begin: "Callable[[], _Decompressor]",
        errors: tuple[type[Exception], ...],
        magic: bytes,
        name: str,
    ) -> Iterator[bytes]:
        """One or more compressed streams, one after the other; zero bytes may fill up behind one of xz."""
        inflater = begin()
        while True:
            try:
                data = inflater.decompress(chunk, OUTPUT_BYTES)
            except errors as error:
                raise LayerFault(Kind.CORRUPT, f"broken {name} stream: {error}") from error
            if data:
                yield data
            if inflater.eof:
                chunk = inflater.unused_data.lstrip(b"\0") or self._after_zeros()
                if not chunk:
                    return
                if not chunk.startswith(magic[: len(chunk)]):
                    raise LayerFault(Kind.CORRUPT, f"trailing garbage after the {name} stream")
                inflater = begin()
                continue
            chunk = self._read() if inflater.needs_input else b""
            if not chunk and inflater.needs_input:
                raise LayerFault(Kind.TRUNCATED, f"the {name} stream ends early")

    def _after_zeros(self) -> bytes:
        while chunk := self._read():
            if chunk := chunk.lstrip(b"\0"):
                break
        return chunk


class _Rejoined:
    """A reader that gives the chunk already taken first."""

    def __init__(self, first: bytes, following: Callable[[], bytes]) -> None:
        self._first = first
        self._following = following

    def read(self, _size: int = -1) -> bytes:
        """The next chunk; its size is the stream's, never more than the decompressor asks for."""
        chunk, self._first = self._first, b""
        return chunk or self._following()


def threaded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Produce ``chunks`` on another thread, a few ahead; its exception is raised here.

    Leaving the iteration early leaves the thread: call this once in a process that then ends.
    """
    buffer: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_CHUNKS)

    def produce() -> None:
        try:
            for chunk in chunks:
                buffer.put(chunk)
            buffer.put(None)
        except BaseException as error:
            buffer.put(error)

    threading.Thread(target=produce, name="decompress", daemon=True).start()
    while (item := buffer.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
