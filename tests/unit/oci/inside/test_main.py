"""oci/inside/main: orders for which there is no process."""

import errno
import os
import socket
from typing import NoReturn

import pytest

from host.fds import close_all, receive_message, send_message
from oci.inside import main as zygote
from oci.inside.words import MESSAGE_LIMIT, decode_first


class Ended(Exception):
    """The zygote has ended."""


@pytest.fixture
def forkless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process can be made, as at a limit of pids; the end of the zygote is an exception."""

    def fork(*, sibling: bool) -> NoReturn:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def leave(code: int) -> NoReturn:
        raise Ended(code)

    monkeypatch.setattr(zygote, "fork", fork)
    monkeypatch.setattr(os, "_exit", leave)


@pytest.mark.usefixtures("forkless")
@pytest.mark.parametrize("given_up", [False, True])
def test_a_refused_order_leaves_no_descriptor_and_the_zygote_at_work(given_up: bool) -> None:
    """Else what a container prints would never come to its end, and the next order would find nobody."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipes = [os.pipe() for _ in range(3)]
    written = [pipe[1] for pipe in pipes]
    with ours, its, channel:
        send_message(ours, b"{}", [far.fileno(), *written])
        far.close()
        close_all(written)
        if given_up:
            channel.close()
        ours.close()
        with pytest.raises(Ended, match="0"):  # by the end of its socket, and not before
            zygote.serve(its)
        if not given_up:
            pid, words = decode_first(receive_message(channel, MESSAGE_LIMIT)[0])
            assert (pid, words) == (0, f"no process for an order: {os.strerror(errno.EAGAIN)}")
            assert receive_message(channel, MESSAGE_LIMIT)[0] == b""
    for reading, _ in pipes:
        os.set_blocking(reading, False)
        assert os.read(reading, 1) == b""
        os.close(reading)
