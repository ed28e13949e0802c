"""A large blob in several ranges at once, for registries that give each connection a part of the link only.

The first range is asked for alone. Only if the answer is 206 with exactly that range of a blob of exactly
that size are others asked for, a few at once and in order; each must be such an answer too, of the same
entity tag. What comes otherwise ends the iteration early, and the client goes on with one connection from
there. Nothing here is believed: the digest of the whole is compared at the end, as always.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import aiohttp

from storage.registry.errors import RegistryError
from storage.registry.options import ClientOptions

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class Reply(Protocol):
    """What of an answer is looked at here (storage/registry/conversation.py)."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


Get = Callable[[Mapping[str, str]], AbstractAsyncContextManager[Reply]]


class _Unfit(Exception):
    """An answer that is not the range that was asked for."""


class Pieces:
    """One blob of ``size`` bytes; ``get`` asks for it with further headers."""

    def __init__(self, get: Get, size: int, options: ClientOptions) -> None:
        self._get = get
        self._size = size
        self._options = options
        self._tag: str | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The beginning of the blob, or all of it; ``options.connections`` pieces at most are held."""
        ranges = self._ranges()
        running: deque[asyncio.Task[bytes]] = deque()
        try:
            yield await self._piece(*next(ranges))
            for start, end in ranges:
                running.append(asyncio.create_task(self._piece(start, end), name="piece of a blob"))
                if len(running) >= self._options.connections:
                    yield await running.popleft()
            while running:
                yield await running.popleft()
        except (_Unfit, RegistryError, aiohttp.ClientError, ConnectionError, TimeoutError):
            return
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """First and last byte of each; the first piece is small, since nothing goes on beside it."""
        start, size = 0, max(1, self._options.piece_bytes // 8)
        while start < self._size:
            yield start, min(start + size, self._size) - 1
            start, size = start + size, self._options.piece_bytes

    async def _piece(self, start: int, end: int) -> bytes:
        """One range; a cut connection is taken up where it ended, as often as the options say."""
        data = bytearray()
        for attempt in range(1, self._options.attempts + 1):
            try:
                await self._read(data, start, end)
                return bytes(data)
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                if attempt == self._options.attempts:
                    raise
        raise _Unfit

    async def _read(self, data: bytearray, start: int, end: int) -> None:
        first, wanted = start + len(data), end - start + 1
        async with self._get({"Range": f"bytes={first}-{end}"}) as reply:
            self._require(reply, first, end)
            async for chunk in reply.chunks():
                data += chunk
                if len(data) > wanted:
                    raise _Unfit
        if len(data) < wanted:
            raise ConnectionError("the range ends early")

    def _require(self, reply: Reply, first: int, end: int) -> None:
        found = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if reply.status != 206 or not found or tuple(map(int, found.groups())) != (first, end, self._size):
            raise _Unfit
        tag = reply.headers.get("ETag", "")
        if self._tag is None:
            self._tag = tag
        if tag != self._tag:
            raise _Unfit
