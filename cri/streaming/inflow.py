"""A bounded queue of bytes from a client on their way to a process or a pod.

put ──▶ [at most limit + one piece] ──▶ take        end: take gives b"" after the last byte
                                                    discard: everything from now on vanishes
"""

import asyncio
from collections import deque


class Inflow:
    """One producer, one consumer. ``limit_bytes`` may be changed; it counts from the next piece on."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._discarding = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, data: bytes) -> None:
        """Add a piece; ask ``full`` afterwards and wait for room before the next."""
        if self._discarding or self._ended or not data:
            return
        self._pieces.append(data)
        self._size += len(data)
        self._changed.set()
        if self.full:
            self._room.clear()

    @property
    def full(self) -> bool:
        """Whether the producer has to wait."""
        return self._size > self.limit_bytes

    async def room(self) -> None:
        """Return once there is room."""
        await self._room.wait()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._changed.set()

    def discard(self) -> None:
        """The consumer has gone; nothing is kept any more and there is always room."""
        self._discarding = True
        self._pieces.clear()
        self._size = 0
        self._room.set()

    async def take(self) -> bytes:
        """The next piece; b"" when it has ended."""
        while not self._pieces:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._pieces.popleft()
        self._size -= len(data)
        if not self.full:
            self._room.set()
        return data
