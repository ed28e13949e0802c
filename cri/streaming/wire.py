"""One end of the socket between daemon and streaming process: messages whole, descriptors with them.

Sending never waits: what the socket does not take is queued, up to a bound beyond which the other side is
given up. Receiving takes a bounded number of messages and then pauses for a moment, so that a side that
floods slows itself and not us. A loss is told once.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from host.fds import MessageTruncated, close_all, receive_message, send_message

logger = logging.getLogger(__name__)

_BATCH: Final = 32
_PAUSE_S: Final = 0.005
_MOST_QUEUED: Final = 1024


class Wire:
    """Serves a connected SOCK_SEQPACKET socket, which belongs to it from now on."""

    def __init__(
        self,
        sock: socket.socket,
        receive: Callable[[bytes, list[int]], None],
        lost: Callable[[str], None],
        *,
        longest_bytes: int,
    ) -> None:
        """``receive`` owns the descriptors that it is given; ``lost`` gets the reason, once."""
        self._sock = sock
        self._receive = receive
        self._lost = lost
        self._longest_bytes = longest_bytes
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._paused: asyncio.TimerHandle | None = None
        self.open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send or queue; the descriptors are taken over, and closed if the wire is."""
        if not self.open:
            close_all(descriptors)
            return
        self._queue.append((data, list(descriptors)))
        if len(self._queue) > _MOST_QUEUED:
            self.fail("it does not read what it is sent")
        elif len(self._queue) == 1:
            self._flush()

    def close(self) -> None:
        """Close without telling ``lost``. Idempotent."""
        if not self.open:
            return
        self.open = False
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for _, descriptors in self._queue:
            close_all(descriptors)
        self._queue.clear()

    def fail(self, reason: str) -> None:
        """Close and tell ``lost``, unless closed already."""
        if self.open:
            self.close()
            self._loop.call_soon(self._lost, reason)

    def _flush(self) -> None:
        while self._queue:
            data, descriptors = self._queue[0]
            try:
                send_message(self._sock, data, descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError as error:
                self.fail(str(error))
                return
            self._queue.popleft()
            close_all(descriptors)
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        for _ in range(_BATCH):
            if not self.open:
                return
            try:
                data, descriptors = receive_message(self._sock, self._longest_bytes)
            except BlockingIOError:
                return
            except MessageTruncated as error:
                self.fail(str(error))
                return
            except OSError as error:
                self.fail(str(error))
                return
            if not data:
                close_all(descriptors)
                self.fail("it has closed")
                return
            self._receive(data, descriptors)
        self._pause()

    def _pause(self) -> None:
        self._loop.remove_reader(self._sock)
        self._paused = self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._paused = None
        if self.open:
            self._loop.add_reader(self._sock, self._readable)
