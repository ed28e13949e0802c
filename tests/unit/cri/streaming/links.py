"""A ByteLink in memory: what the client says is queued, what it hears is kept."""

import asyncio
from collections.abc import Sequence


class FakeLink:
    """Implements ByteLink."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self.heard = bytearray()
        self.ended = False
        self.gone = False
        self.congested = False
        self.piece_bytes = 256 * 1024

    def say(self, data: bytes) -> None:
        """The client sends; b"" is its end."""
        self._said.put_nowait(data)

    async def read(self) -> bytes:
        return await self._said.get()

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        self.write(b"".join(pieces))

    def write(self, data: bytes) -> None:
        if not self.ended:
            self.heard += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def flush(self) -> None:
        await asyncio.sleep(0)

    def end(self) -> None:
        self.ended = True

    def peer_has_closed(self) -> bool:
        return self.gone
