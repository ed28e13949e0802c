"""A byte stream inside a WebSocket: ``SPDY/3.1+portforward.k8s.io`` carries SPDY in binary messages."""

import asyncio
from collections.abc import Sequence

from cri.streaming.link import ByteLink
from cri.streaming.websocket import Closed, WebSocket


class Tunnel:
    """ByteLink on an accepted WebSocket; message borders mean nothing."""

    def __init__(self, link: ByteLink, socket: WebSocket) -> None:
        self._link = link
        self._socket = socket

    async def read(self) -> bytes:
        """The next bytes of the tunnel; none when either layer has ended."""
        while True:
            if self._socket.unread:
                await asyncio.sleep(0)
                data = b""
            elif not (data := await self._link.read()):
                return b""
            events = self._socket.receive(data)
            self._link.write(self._socket.data_to_send())
            await self._link.drain()
            tunnelled = b"".join(event.data for event in events if not isinstance(event, Closed))
            if tunnelled or (events and isinstance(events[-1], Closed)):
                return tunnelled

    def write(self, data: bytes) -> None:
        """One binary message."""
        if data:
            self._link.write(self._socket.send(data))

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        """One binary message of all."""
        self.write(b"".join(pieces))

    def end(self) -> None:
        """A normal close of the WebSocket, after which it carries nothing."""
        self._link.write(self._socket.close())
        self._link.end()

    async def drain(self) -> None:
        """As the link."""
        await self._link.drain()

    async def flush(self) -> None:
        """As the link."""
        await self._link.flush()

    @property
    def congested(self) -> bool:
        """As the link."""
        return self._link.congested

    @property
    def piece_bytes(self) -> int:
        """As the link."""
        return self._link.piece_bytes

    def peer_has_closed(self) -> bool:
        """As the link."""
        return self._link.peer_has_closed()
