"""Messages that wait until a SOCK_SEQPACKET socket takes them, in order, each with descriptors of its own."""

import socket
from collections import deque
from collections.abc import Sequence

from host.fds import close_all, duplicates, send_message


class Outgoing:
    """The queue of one socket, which blocks nobody."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._queue: deque[tuple[bytes, list[int]]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Put a message at the end; the descriptors are duplicated.

        Raises:
            OSError: there are no descriptors left; nothing was added.
        """
        self._queue.append((data, duplicates(descriptors)))

    def flush(self, sock: socket.socket) -> bool:
        """Send what the socket takes; whether that was all.

        Raises:
            OSError: nobody reads there any more.
        """
        while self._queue:
            data, descriptors = self._queue[0]
            try:
                send_message(sock, data, descriptors)
            except BlockingIOError:
                return False
            self._queue.popleft()
            close_all(descriptors)
        return True

    def clear(self) -> None:
        """Give all of it up."""
        while self._queue:
            close_all(self._queue.popleft()[1])
