"""Who is connected to a small HTTP server of ours: some at once, one request each, and none that lingers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from cri.streaming.http_head import Head, HeadReader

_CHUNK_BYTES: Final = 16 * 1024
_CLOSING_S: Final = 2.0


class Clients:
    """At most ``most`` connections: the oldest goes for the next."""

    def __init__(self, most: int) -> None:
        """Nobody is connected."""
        self._most = most
        self._connected: dict[asyncio.StreamWriter, None] = {}

    @contextlib.asynccontextmanager
    async def connected(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """For as long as the block takes; then the connection is closed, and what the client does not take
        soon is dropped, as closing would wait for it."""
        self._connected[writer] = None
        if len(self._connected) > self._most:
            oldest = next(iter(self._connected))
            del self._connected[oldest]
            oldest.transport.abort()
        try:
            yield
        finally:
            self._connected.pop(writer, None)
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSING_S):
                    await writer.wait_closed()
            writer.transport.abort()


async def read_head(heads: HeadReader, reader: asyncio.StreamReader) -> Head | None:
    """The head of a request; None when the client has gone before its end.

    Raises:
        Refused: it is none, or too long.
    """
    while (head := heads.receive(data := await reader.read(_CHUNK_BYTES))) is None:
        if not data:
            return None
    return head
