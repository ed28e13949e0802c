"""oci/monitor/outgoing: in order, as far as the socket takes it, and no descriptor is left behind."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host import fds
from host.fds import receive_message
from oci.monitor.outgoing import Outgoing
from tests.harness.processes import descriptors

SIZE = 10_000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, its:
        yield ours, its


def test_what_the_socket_does_not_take_waits_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, its = pair
    outgoing, sent = Outgoing(), [bytes([number]) * SIZE for number in range(200)]
    for data in sent:
        outgoing.add(data)
    assert not outgoing.flush(ours)
    assert 0 < len(outgoing) < len(sent)
    found: list[bytes] = []
    while len(found) < len(sent):
        found.append(receive_message(its, SIZE)[0])
        outgoing.flush(ours)
    assert found == sent
    assert len(outgoing) == 0


def test_descriptors_are_its_own_until_they_are_sent_or_given_up(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, its = pair
    before = len(descriptors(os.getpid()))
    outgoing = Outgoing()
    with Path(os.devnull).open("rb") as file:
        outgoing.add(b"sent", [file.fileno()])
        outgoing.add(b"given up", [file.fileno()])
    assert len(descriptors(os.getpid())) == before + 2
    outgoing.flush(ours)
    outgoing.add(b"given up", [its.fileno()])
    outgoing.clear()
    for _ in range(2):
        fds.close_all(receive_message(its, SIZE)[1])
    assert len(descriptors(os.getpid())) == before


def test_nobody_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, its = pair
    its.close()
    outgoing = Outgoing()
    outgoing.add(b"lost")
    with pytest.raises(BrokenPipeError):
        outgoing.flush(ours)


def test_without_descriptors_nothing_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.dup
    made: list[int] = []

    def dup(number: int) -> int:
        if len(made) == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(real(number))
        return made[-1]

    before = len(descriptors(os.getpid()))
    outgoing = Outgoing()
    monkeypatch.setattr(os, "dup", dup)
    with pytest.raises(OSError, match="Too many open files"):
        outgoing.add(b"x", [0, 1, 2])
    assert len(outgoing) == 0
    assert len(descriptors(os.getpid())) == before
