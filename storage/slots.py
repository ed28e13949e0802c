"""Places for layers that are being fetched and unpacked: each is a connection and a process.

``each`` of one registry and ``total`` in all, so that a slow registry holds its own places only. They go to
whoever came first among those whose registry has one left. When all are taken by few registries and another
waits, the slowest layer gives its place up if it is slow indeed: its pull ends with GaveWay, and may be tried
again.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from api.errors import Unavailable


class GaveWay(Unavailable):
    """A layer that hardly moved made room for another registry's."""


@dataclass(eq=False, slots=True)
class Place:
    """A taken place; whoever has it counts the bytes that come."""

    owner: str
    limit: asyncio.Timeout
    begun: float = field(default_factory=time.monotonic)
    bytes: int = 0
    asked: bool = False  # to give way

    def rate(self) -> float:
        """Bytes a second since it was taken."""
        return self.bytes / max(time.monotonic() - self.begun, 0.001)


@dataclass(eq=False, slots=True)
class _Waiter:
    owner: str
    ready: asyncio.Future[None]


class Slots:
    """See above; ``slow_rate`` (bytes a second) and ``patience_s`` say who may be asked to give way."""

    def __init__(
        self, each: int, total: int, *, slow_rate: float = 16 << 10, patience_s: float = 15.0
    ) -> None:
        self._each = each
        self._total = total
        self._slow_rate = slow_rate
        self._patience_s = patience_s
        self._held: Counter[str] = Counter()
        self._places: list[Place] = []
        self._waiting: list[_Waiter] = []

    @contextlib.asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[Place]:
        """Wait for a place for a layer of the registry ``owner``, and have it inside.

        Raises:
            GaveWay: inside, when the layer has to make room.
        """
        await self._enter(owner)
        place: Place | None = None
        try:
            async with asyncio.timeout(None) as limit:
                place = Place(owner, limit)
                self._places.append(place)
                yield place
        except TimeoutError as error:
            if place is None or not (place.asked and place.limit.expired()):
                raise
            raise GaveWay(
                f"a layer from {owner} came at {place.rate():.0f} bytes a second and gave way to others; "
                "pull it again"
            ) from error
        finally:
            if place is not None:
                self._places.remove(place)
            self._leave(owner)

    async def _enter(self, owner: str) -> None:
        waiter = _Waiter(owner, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._serve()
        try:
            while not waiter.ready.done():
                await asyncio.wait((waiter.ready,), timeout=self._patience_s)
                if not waiter.ready.done():
                    self._make_room(owner)
        except BaseException:
            if waiter.ready.done() and not waiter.ready.cancelled():
                self._leave(owner)
            else:
                self._waiting.remove(waiter)
            raise

    def _leave(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._serve()

    def _serve(self) -> None:
        """Give what is free to those who wait, the first of every registry that may have more."""
        for waiter in list(self._waiting):
            if self._held.total() >= self._total:
                return
            if self._held[waiter.owner] < self._each:
                self._waiting.remove(waiter)
                self._held[waiter.owner] += 1
                waiter.ready.set_result(None)

    def _make_room(self, owner: str) -> None:
        """For a registry that has no place at all: the slowest of those who had theirs for a while goes."""
        if self._held[owner] or any(place.asked for place in self._places):
            return
        now = time.monotonic()
        settled = [place for place in self._places if now - place.begun >= self._patience_s]
        slowest = min(settled, key=Place.rate, default=None)
        if slowest is not None and slowest.rate() < self._slow_rate:
            slowest.asked = True
            slowest.limit.reschedule(asyncio.get_running_loop().time())
