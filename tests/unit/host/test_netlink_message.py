"""Attributes and message framing, and datagrams that lie about their lengths."""

import struct

import pytest

from host.netlink.message import Message, Reply, attribute, attribute_list, attributes, nested, replies, text


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"", b"\x04\0\x09\0"),
        (b"abc", b"\x07\0\x09\0abc\0"),
        ("abc", b"\x08\0\x09\0abc\0"),
        (1, b"\x08\0\x09\0\x01\0\0\0"),
    ],
)
def test_an_attribute_is_padded_to_four_bytes(value: bytes | int | str, encoded: bytes) -> None:
    assert attribute(9, value) == encoded


def test_nesting_reads_back() -> None:
    data = nested(1, attribute(2, "name"), nested(3, attribute(4, 5)))
    outer = attributes(attributes(data)[1])
    assert text(outer[2]) == "name"
    assert attributes(outer[3]) == {4: struct.pack("=I", 5)}


def test_repeated_attributes_stay_in_order() -> None:
    assert list(attribute_list(attribute(1, b"a") + attribute(1, b"b"))) == [(1, b"a"), (1, b"b")]


def test_a_message_reads_back() -> None:
    first, second = Message(16, 5, b"abc", "x").encode(1), Message(17, 6, b"", "y").encode(2)
    assert list(replies(first + second)) == [Reply(16, 5, 1, b"abc"), Reply(17, 6, 2, b"")]


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_truncated_datagram_gives_no_message(cut: int) -> None:
    assert list(replies(Message(16, 5, b"abcd", "x").encode(1)[:-cut])) == []


@pytest.mark.parametrize("length", [0, 3, 200])
def test_a_lying_attribute_length_ends_the_list(length: int) -> None:
    assert attributes(struct.pack("=HH", length, 1) + b"abcd") == {}
