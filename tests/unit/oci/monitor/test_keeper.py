"""The keeper's store and its conversation, without a process of its own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.fds import receive_message, send_message
from host.local_sockets import dial, listen
from oci.monitor.keeper import (
    DROP,
    END,
    HELD,
    PUT,
    REFUSED,
    SET,
    SOCKET,
    TAKE,
    Keeper,
    Message,
    Store,
    decode,
    encode,
)
from oci.monitor.reactor import Reactor


@pytest.mark.parametrize(
    "message",
    [Message(PUT, "a b", b'{"x": "\\u0000"}'), Message(SET, "k", b"1\0002"), Message(TAKE), Message(END)],
)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("data", [b"", b"\0\0", b"put", b"\xff\xfe\0\xff", b"go\0away"])
def test_a_message_without_sense_is_nothing_to_do(data: bytes) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    store = Store()
    if decode(data).verb == PUT:
        assert store.obey(decode(data), []) is None
        os.close(reading)
    else:
        assert store.obey(decode(data), [reading]) is not None
        assert is_closed(reading)


class Pipe:
    """An object whose release is seen at its other end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)

    def is_released(self) -> bool:
        try:
            return os.read(self.reading, 1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reading)


def is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def test_a_value_changes_and_descriptors_stay(pipe: Pipe) -> None:
    store = Store()
    assert store.obey(Message(PUT, "a", b"1"), [pipe.writing]) is None
    assert store.obey(Message(SET, "a", b"2"), []) is None
    assert not pipe.is_released()
    assert store.items() == [(Message(HELD, "a", b"2"), [pipe.writing])]
    assert store.obey(Message(DROP, "a"), []) is None
    assert (pipe.is_released(), len(store)) == (True, 0)


def test_what_is_put_again_replaces_what_was_held(pipe: Pipe) -> None:
    store = Store()
    store.obey(Message(PUT, "a", b"1"), [pipe.writing])
    store.obey(Message(PUT, "a", b"2"), [])
    assert pipe.is_released()
    assert store.items() == [(Message(HELD, "a", b"2"), [])]


def test_there_is_a_bound(pipe: Pipe) -> None:
    store = Store(objects_max=2)
    assert [store.obey(Message(PUT, key), []) for key in "ab"] == [None, None]
    assert store.obey(Message(PUT, "c"), [pipe.writing]) == "2 objects are held already"
    assert pipe.is_released()
    assert store.obey(Message(PUT, "a", b"new"), []) is None
    assert store.obey(Message(DROP, "b"), []) is None
    assert store.obey(Message(PUT, "c"), []) is None


def test_a_set_or_drop_of_what_is_not_there_holds_nothing(pipe: Pipe) -> None:
    store = Store()
    assert store.obey(Message(DROP, "a"), []) is None
    assert store.obey(Message(SET, "a", b"1"), [pipe.writing]) == "there is nothing to set"
    assert (len(store), pipe.is_released()) == (0, True)


class Rig:
    """A keeper in this process, which would end it at its end: connections stay open."""

    def __init__(self, directory: Path) -> None:
        self.reactor = Reactor()
        self.path = directory / SOCKET
        self.keeper = Keeper(self.reactor, listen(str(self.path)), str(self.path))
        self.connected: list[socket.socket] = []
        self.first = self.connect()

    def connect(self) -> socket.socket:
        sock = dial(str(self.path))
        sock.settimeout(60)
        self.connected.append(sock)
        self.reactor.turn()
        return sock

    def say(self, sock: socket.socket, message: Message, *descriptors: int) -> None:
        send_message(sock, encode(message), descriptors)
        self.reactor.turn()

    def take(self, sock: socket.socket) -> list[tuple[Message, int]]:
        self.say(sock, Message(TAKE))
        found: list[tuple[Message, int]] = []
        while True:
            data, descriptors = receive_message(sock, 1 << 17)
            message = decode(data)
            for one in descriptors:
                os.close(one)
            if message.verb == END:
                return found
            found.append((message, len(descriptors)))

    def close(self) -> None:
        """Without a turn, in which the keeper would end this process."""
        for sock in (*self.connected, *self.keeper._clients, self.keeper._listener):
            sock.close()
        self.reactor.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_its_socket_is_for_its_user_alone(rig: Rig) -> None:
    assert rig.path.stat().st_mode & 0o777 == 0o600


def test_a_second_monitor_is_given_what_the_first_has_put(rig: Rig, pipe: Pipe) -> None:
    rig.say(rig.first, Message(PUT, "a", b"1"), pipe.writing, pipe.reading)
    rig.say(rig.first, Message(PUT, "b", b"2"))
    os.close(pipe.writing)
    second = rig.connect()
    rig.first.close()
    rig.reactor.turn()
    assert not pipe.is_released()
    assert rig.take(second) == [(Message(HELD, "a", b"1"), 2), (Message(HELD, "b", b"2"), 0)]
    assert len(rig.take(second)) == 2  # it still holds them
    rig.say(second, Message(DROP, "a"))
    assert pipe.is_released()


def test_too_many_descriptors_are_refused_and_cost_nothing_else(rig: Rig, pipe: Pipe) -> None:
    rig.say(rig.first, Message(PUT, "a", b"1"))
    rig.say(rig.first, Message(PUT, "b", b"2"), *[pipe.reading] * 17)
    data, _ = receive_message(rig.first, 1 << 17)
    assert decode(data).verb == REFUSED
    assert rig.take(rig.first) == [(Message(HELD, "a", b"1"), 0)]
    os.close(pipe.writing)
