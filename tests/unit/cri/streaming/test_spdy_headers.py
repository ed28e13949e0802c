import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cri.streaming.spdy_dictionary import DICTIONARY
from cri.streaming.spdy_headers import (
    BadHeaderBlock,
    Deflater,
    HeaderLimits,
    Inflater,
    decode_block,
    encode_block,
    first,
)

LIMITS = HeaderLimits()
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
HEADERS = st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple), max_size=8)


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def compressed(block: bytes) -> bytes:
    stream = zlib.compressobj(zdict=DICTIONARY)
    return stream.compress(block) + stream.flush(zlib.Z_SYNC_FLUSH)


@given(HEADERS)
def test_block_survives_the_round_trip(headers: dict[str, tuple[str, ...]]) -> None:
    assert decode_block(encode_block(headers), LIMITS) == headers


@given(st.lists(HEADERS, max_size=5))
def test_blocks_share_one_compression_stream(blocks: list[dict[str, tuple[str, ...]]]) -> None:
    deflater, inflater = Deflater(), Inflater(LIMITS)
    assert [inflater.unpack(deflater.pack(block)) for block in blocks] == blocks


def test_names_are_sent_in_lower_case() -> None:
    assert decode_block(encode_block({"streamType": ("error",)}), LIMITS) == {"streamtype": ("error",)}


def test_first_value_counts() -> None:
    assert first({"port": ("80", "81")}, "port") == "80"
    assert first({}, "port") is None


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "ends early"),
        (struct.pack(">I", 1), "ends early"),
        (struct.pack(">I", 1) + struct.pack(">I", 0xFFFFFFFF), "ends early"),
        (struct.pack(">I", 1) + text(b"a"), "ends early"),
        (struct.pack(">I", 1) + text(b"") + text(b"v"), "empty"),
        (struct.pack(">I", 1) + text(b"A") + text(b"v"), "lower case"),
        (struct.pack(">I", 2) + (text(b"a") + text(b"v")) * 2, "repeated"),
        (struct.pack(">I", 1) + text(b"a") + text(b"\xff"), "UTF-8"),
        (struct.pack(">I", 0) + b"x", "follow"),
        (struct.pack(">I", 257), "257 headers"),
        (struct.pack(">I", 0xFFFFFFFF), "are allowed"),
    ],
)
def test_malformed_block_is_refused(block: bytes, reason: str) -> None:
    with pytest.raises(BadHeaderBlock, match=reason):
        decode_block(block, LIMITS)


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    bomb = compressed(struct.pack(">I", 1) + text(b"a") + text(b"\0" * (1 << 24)))
    with pytest.raises(BadHeaderBlock, match="larger than 1000 bytes"):
        Inflater(HeaderLimits(block_bytes=1000)).unpack(bomb)


def test_a_block_of_exactly_the_limit_passes() -> None:
    headers = {"a": ("v" * 100,)}
    inflater = Inflater(HeaderLimits(block_bytes=len(encode_block(headers))))
    assert inflater.unpack(Deflater().pack(headers)) == headers


@pytest.mark.parametrize("data", [b"", b"\x78\x9c\x03\x00", b"no zlib", zlib.compress(b"plain")])
def test_what_is_not_zlib_with_the_dictionary_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeaderBlock):
        Inflater(LIMITS).unpack(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read: dict[str, tuple[str, ...]] = {}
    with suppress(BadHeaderBlock):
        read = Inflater(LIMITS).unpack(data)
    assert decode_block(encode_block(read), LIMITS) == read
