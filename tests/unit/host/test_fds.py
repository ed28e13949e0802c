import os
import socket
from collections.abc import Iterator

import pytest

from host.fds import (
    MAXIMUM_DESCRIPTORS,
    Descriptor,
    DescriptorClosed,
    MessageTruncated,
    close_all,
    give_pipes,
    receive_message,
    send_message,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


def test_descriptor_arrives_close_on_exec(pair: tuple[socket.socket, socket.socket]) -> None:
    reading, writing = os.pipe()
    send_message(pair[0], b"hello", [writing])
    os.close(writing)
    payload, (received,) = receive_message(pair[1], 100)
    assert payload == b"hello"
    assert not os.get_inheritable(received)
    os.write(received, b"x")
    assert os.read(reading, 10) == b"x"
    close_all([reading, received])


def test_messages_keep_their_borders(pair: tuple[socket.socket, socket.socket]) -> None:
    for payload in (b"a", b"bc"):
        send_message(pair[0], payload)
    assert [receive_message(pair[1], 100) for _ in range(2)] == [(b"a", []), (b"bc", [])]


def test_closed_peer_reads_as_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert receive_message(pair[1], 100) == (b"", [])


def test_too_long_a_message_closes_its_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    reading, writing = os.pipe()
    send_message(pair[0], b"x" * 101, [writing])
    os.close(writing)
    with pytest.raises(MessageTruncated):
        receive_message(pair[1], 100)
    assert os.read(reading, 1) == b""  # no writer is left
    os.close(reading)


def test_too_many_descriptors_are_refused_and_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    reading, writing = os.pipe()
    send_message(pair[0], b"x", [writing] * (MAXIMUM_DESCRIPTORS + 3))
    os.close(writing)
    with pytest.raises(MessageTruncated):
        receive_message(pair[1], 100)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_only_pipes_are_given_away() -> None:
    reading, writing = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    before = os.fstat(null).st_uid
    me = (os.getuid(), os.getgid())
    try:
        give_pipes([writing, null], me)  # without root nobody else can be given anything
        assert (os.fstat(reading).st_uid, os.fstat(reading).st_gid) == me
        assert os.fstat(null).st_uid == before
    finally:
        close_all([reading, writing, null])


def test_a_descriptor_is_closed_once_and_its_number_is_told_no_more() -> None:
    reading, writing = os.pipe()
    owned = Descriptor(reading)
    twin = owned.duplicate()
    assert os.fstat(owned.number) == os.fstat(twin.number)
    owned.close()
    other = os.open(os.devnull, os.O_RDONLY)  # gets the number that has just become free
    owned.close()
    os.fstat(other)
    assert (owned.is_open, twin.is_open) == (False, True)
    for ask in (lambda: owned.number, owned.duplicate):
        with pytest.raises(DescriptorClosed):
            ask()
    twin.close()
    close_all([writing, other])
