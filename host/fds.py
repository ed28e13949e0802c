"""Messages with file descriptors over SOCK_SEQPACKET sockets (unix(7), SCM_RIGHTS).

A descriptor received here is close-on-exec from the first instant (MSG_CMSG_CLOEXEC); ``socket.recv_fds``
of Python 3.11 drops that flag, so it is not used.
"""

import array
import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Sequence

MAXIMUM_DESCRIPTORS = 16  # more in one message is a mistake of the sender
_SPACE = socket.CMSG_SPACE(MAXIMUM_DESCRIPTORS * array.array("i").itemsize)


class MessageTruncated(OSError):
    """A message was longer than the receiver's limit, or carried more descriptors; they are closed."""


class DescriptorClosed(ValueError):
    """Its owner has closed it: by now the number may be another file's."""


class Descriptor:
    """A descriptor that has this one owner: closed once, and its number is told no more afterwards."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        """Take ``number`` over."""
        self._number = number

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self._number >= 0

    @property
    def number(self) -> int:
        """For a call that is made at once; it stays the owner's.

        Raises:
            DescriptorClosed: see there.
        """
        if self._number < 0:
            raise DescriptorClosed("this descriptor is closed")
        return self._number

    def duplicate(self) -> "Descriptor":
        """Another of the same file, with an owner of its own.

        Raises:
            DescriptorClosed: see there.
        """
        return Descriptor(os.dup(self.number))

    def close(self) -> None:
        """Close it. Idempotent."""
        number, self._number = self._number, -1
        if number >= 0:
            close_all([number])


def give_pipes(descriptors: Iterable[int], owner: tuple[int, int]) -> None:
    """Make pipes belong to ``owner`` (uid, gid); what is no pipe, a device for one, is left alone."""
    for descriptor in descriptors if any(owner) else ():
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, *owner)


def duplicates(descriptors: Iterable[int]) -> list[int]:
    """Duplicates of all of them.

    Raises:
        OSError: there are no more to be had; none was made.
    """
    made: list[int] = []
    try:
        for number in descriptors:
            made.append(os.dup(number))
    except OSError:
        close_all(made)
        raise
    return made


def close_all(descriptors: Iterable[int]) -> None:
    """Close every descriptor, also when closing one of them fails."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def send_message(sock: socket.socket, payload: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message whole; the descriptors stay ours as well.

    Raises:
        BlockingIOError: a non-blocking socket is full; nothing was sent.
        OSError: the peer is gone (EPIPE, ECONNRESET) or the message exceeds the send buffer (EMSGSIZE).
    """
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    sock.sendmsg([payload], ancillary, socket.MSG_NOSIGNAL)


def receive_message(sock: socket.socket, limit: int) -> tuple[bytes, list[int]]:
    """Receive one message of at most ``limit`` bytes with its descriptors; ``b""`` means the peer closed.

    Raises:
        BlockingIOError: a non-blocking socket has no message.
        MessageTruncated: see there.
    """
    payload, ancillary, flags, _ = sock.recvmsg(limit, _SPACE, socket.MSG_CMSG_CLOEXEC)
    numbers = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(numbers)
        raise MessageTruncated(f"message over {limit} bytes or {MAXIMUM_DESCRIPTORS} descriptors")
    return payload, list(numbers)
