"""How slow a body may come: bytes over time spent waiting for them.

Time in which nobody waits, because what came is still being unpacked, does not count. A connection that is
kept alive by a byte now and then, or by parts of the protocol that bring no bytes, is too slow as much as a
silent one.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol


class TooSlow(TimeoutError):
    """Fewer bytes came than must."""


class Body(Protocol):
    """What aiohttp's StreamReader has."""

    async def readany(self) -> bytes:
        """Some bytes, b"" at the end."""
        ...


class Pace:
    """At least ``bytes_per_s`` in every ``window_s`` seconds of waiting; 0 of either sets no bound."""

    def __init__(self, bytes_per_s: float, window_s: float) -> None:
        self._bytes = bytes_per_s * window_s
        self._window_s = window_s
        self._waited_s = 0.0
        self._came = 0

    async def chunks(self, body: Body) -> AsyncIterator[bytes]:
        """The body to its end.

        Raises:
            TooSlow: as said above; what aiohttp raises for a broken connection passes through.
        """
        while data := await self._read(body):
            yield data

    async def _read(self, body: Body) -> bytes:
        if not self._bytes:
            return await body.readany()
        while True:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(self._window_s - self._waited_s) as limit:
                    data = await body.readany()
            except TimeoutError:
                if not limit.expired():
                    raise
                self._next_window()
                continue
            self._came += len(data)
            self._waited_s += time.monotonic() - begun
            if self._waited_s >= self._window_s:
                self._next_window()
            return data

    def _next_window(self) -> None:
        if self._came < self._bytes:
            rate = self._bytes / self._window_s
            raise TooSlow(
                f"{self._came} bytes in {self._window_s:g} s, fewer than {rate:g} a second: too slow"
            )
        self._waited_s = 0.0
        self._came = 0
