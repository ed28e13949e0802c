"""A netlink socket: requests with acknowledgements, dumps, transactions.

The kernel answers rtnetlink and nfnetlink requests while send() runs, so a call takes as long as the
work in the kernel; the receive timeout only guards against a broken promise. A socket belongs to the
network namespace of the thread that opened it, wherever it is used later. Calls are serialised by a lock.
"""

import errno
import os
import socket
import struct
import threading
from typing import Self

from host.netlink.message import NLM_F_ACK, NLM_F_DUMP, Message, Reply, attributes, replies, text

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_DUMP_INTR = 0x10
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_TIMEOUT_S = 20.0
_BUFFER_BYTES = 1 << 16
_DUMP_ATTEMPTS = 10


class Netlink:
    """One netlink socket, in the network namespace of the thread that makes it."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT_S)
        self._lock = threading.Lock()
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; further calls fail."""
        self._socket.close()

    def request(self, *messages: Message) -> list[Reply]:
        """Send messages in one datagram, in order, and wait until each is done; returns what they answer.

        rtnetlink goes on after a message that failed: the caller undoes what the others did.

        Raises:
            OSError: the first failure, with the operation and the kernel's explanation in its text.
        """
        with self._lock:
            return self._exchange(b"", messages, b"")

    def transaction(self, begin: Message, messages: tuple[Message, ...], end: Message) -> None:
        """Send an nfnetlink batch: all of it happens or nothing.

        Raises:
            OSError: the first failure.
        """
        with self._lock:
            first = self._next()
            self._exchange(begin.encode(first), messages, end.encode(self._next()))

    def dump(self, message: Message) -> list[Reply]:
        """Send a dump request and collect its answers, again if the kernel calls them inconsistent."""
        with self._lock:
            for _ in range(_DUMP_ATTEMPTS):
                sequence = self._next()
                self._socket.send(
                    Message(message.type, message.flags | NLM_F_DUMP, message.payload, message.what).encode(
                        sequence
                    )
                )
                answers, consistent = self._collect(sequence, message.what)
                if consistent:
                    return answers
        raise OSError(errno.EINTR, f"{message.what}: the list changed during each of {_DUMP_ATTEMPTS} reads")

    def _next(self) -> int:
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        return self._sequence

    def _exchange(self, head: bytes, messages: tuple[Message, ...], tail: bytes) -> list[Reply]:
        waiting: dict[int, Message] = {}
        encoded = [head]
        for message in messages:
            sequence = self._next()
            waiting[sequence] = message
            encoded.append(
                Message(message.type, message.flags | NLM_F_ACK, message.payload, message.what).encode(
                    sequence
                )
            )
        self._socket.send(b"".join([*encoded, tail]))
        answers: list[Reply] = []
        failure: OSError | None = None
        while waiting:
            for reply in replies(self._socket.recv(_BUFFER_BYTES)):
                if reply.sequence not in waiting:
                    continue  # an answer that an earlier, interrupted call left, or one for the batch frame
                if reply.type != _NLMSG_ERROR:
                    answers.append(reply)
                    continue
                done = waiting.pop(reply.sequence)
                failure = failure or _failure(reply, done.what)
        if failure is not None:
            raise failure
        return answers

    def _collect(self, sequence: int, what: str) -> tuple[list[Reply], bool]:
        answers: list[Reply] = []
        consistent = True
        while True:
            for reply in replies(self._socket.recv(_BUFFER_BYTES)):
                if reply.sequence != sequence:
                    continue
                consistent = consistent and not reply.flags & _NLM_F_DUMP_INTR
                if reply.type == _NLMSG_ERROR or reply.type == _NLMSG_DONE:
                    failure = _failure(reply, what) if len(reply.payload) >= 4 else None
                    if failure is not None:
                        raise failure
                    return answers, consistent
                answers.append(reply)


def _failure(reply: Reply, what: str) -> OSError | None:
    """The error that an acknowledgement carries, or None for success."""
    (code,) = struct.unpack_from("=i", reply.payload)
    if code >= 0:
        return None
    explanation = ""
    if reply.flags & _NLM_F_ACK_TLVS:
        # CAP_ACK: of the request only the header stands between the code and the attributes.
        offset = 4 + 16 if reply.type == _NLMSG_ERROR else 4
        message = attributes(reply.payload, offset).get(_NLMSGERR_ATTR_MSG)
        explanation = f" ({text(message)})" if message else ""
    return OSError(-code, f"{what}: {os.strerror(-code)}{explanation}")
