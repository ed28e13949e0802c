"""storage/unpack/streams: decompression and digests in one pass."""

import bz2
import gzip
import hashlib
import lzma
import os
import sys
import tempfile
from collections.abc import Iterator

import pytest
import zstandard

from storage.unpack.faults import Kind, LayerFault, Limits
from storage.unpack.streams import OUTPUT_BYTES, Stream, threaded

DATA = os.urandom(5000) * 600
FORMS = {
    "plain": DATA,
    "gzip": gzip.compress(DATA, 1),
    "gzip in members": gzip.compress(DATA[:9]) + gzip.compress(b"") + gzip.compress(DATA[9:]),
    "zstd": zstandard.compress(DATA),
    "zstd in frames": zstandard.compress(DATA[:9])
    + b"\x5f\x2a\x4d\x18\x01\0\0\0x"
    + zstandard.compress(DATA[9:]),
    "zstd with a large window": zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    ).compress(DATA),
    "bzip2": bz2.compress(DATA, 1),
    "bzip2 in streams": bz2.compress(DATA[:9]) + bz2.compress(b"") + bz2.compress(DATA[9:]),
    "xz": lzma.compress(DATA, preset=0),
    "xz in streams": lzma.compress(DATA[:9]) + bytes(8) + lzma.compress(DATA[9:], preset=0) + bytes(4),
    "empty": b"",
    "one output exactly": gzip.compress(bytes(OUTPUT_BYTES)),
}


def stream_of(data: bytes, limits: Limits | None = None) -> Stream:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the descriptor outlives it by dup
    file.write(data)
    file.seek(0)
    descriptor = os.dup(file.fileno())
    file.close()
    made = Stream(descriptor, limits or Limits())
    made.begin()
    return made


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("engine", ["isal", "zlib"])
def test_every_form_gives_its_data_and_both_digests(
    name: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    stream = stream_of(FORMS[name])
    found = b"".join(stream.chunks())
    expected = {"empty": b"", "one output exactly": bytes(OUTPUT_BYTES)}.get(name, DATA)
    assert found == expected
    assert stream.compressed_digest == hashlib.sha256(FORMS[name]).hexdigest()
    assert stream.archive_digest == hashlib.sha256(expected).hexdigest()
    assert (stream.compressed_bytes, stream.archive_bytes) == (len(FORMS[name]), len(expected))


BROKEN = {
    "gzip cut": (FORMS["gzip"][:-5], Kind.TRUNCATED),
    "gzip header only": (FORMS["gzip"][:6], Kind.TRUNCATED),
    "gzip damaged": (FORMS["gzip"][:2000] + b"\xff" * 50 + FORMS["gzip"][2050:], Kind.CORRUPT),
    "gzip with garbage": (FORMS["gzip"] + b"garbage", Kind.CORRUPT),
    "bzip2 cut": (FORMS["bzip2"][:-5], Kind.TRUNCATED),
    "bzip2 damaged": (FORMS["bzip2"][:2000] + b"\xff" * 50 + FORMS["bzip2"][2050:], Kind.CORRUPT),
    "bzip2 with garbage": (FORMS["bzip2"] + b"garbage", Kind.CORRUPT),
    "xz cut": (FORMS["xz"][:-5], Kind.TRUNCATED),
    "xz damaged": (FORMS["xz"][:2000] + b"\xff" * 50 + FORMS["xz"][2050:], Kind.CORRUPT),
    "xz with garbage": (FORMS["xz"] + bytes(4) + b"garbage", Kind.CORRUPT),
    "zstd of two gigabytes of window": (b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(20), Kind.CORRUPT),
    "zstd damaged": (FORMS["zstd"][:5] + b"\xff" * 50 + FORMS["zstd"][55:], Kind.CORRUPT),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("engine", ["isal", "zlib"])
def test_broken_streams_are_faults(name: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    data, kind = BROKEN[name]
    with pytest.raises(LayerFault) as caught:
        list(stream_of(data).chunks())
    assert caught.value.kind is kind


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_limits_on_size_and_ratio(pack: object) -> None:
    assert callable(pack)
    bomb = pack(bytes(40 << 20))
    with pytest.raises(LayerFault, match="bytes uncompressed"):
        list(stream_of(bomb, Limits(total_bytes=10 << 20)).chunks())
    with pytest.raises(LayerFault, match="times its size"):
        list(stream_of(bomb, Limits(ratio=100, ratio_floor_bytes=1 << 20)).chunks())


def test_an_abandoned_stream_can_still_be_hashed() -> None:
    stream = stream_of(FORMS["gzip"])
    chunks = threaded(stream.chunks())
    next(chunks)
    stream.abandon()
    list(chunks)
    stream.drain()
    assert stream.compressed_digest == hashlib.sha256(FORMS["gzip"]).hexdigest()


def test_an_exception_crosses_the_thread() -> None:
    def fail() -> Iterator[bytes]:
        yield b"one"
        raise LayerFault(Kind.CORRUPT, "two")

    chunks = threaded(fail())
    assert next(chunks) == b"one"
    with pytest.raises(LayerFault, match="two"):
        next(chunks)
