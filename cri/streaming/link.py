"""A client's byte stream: an asyncio reader and writer with bounded buffers and a note of the last activity.

Reading stops when nobody calls ``read`` and writing waits in ``drain`` while the client does not take
what it was sent, so at most about ``piece_bytes`` are held each way: the more sessions, the less for each.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

# What asyncio may hold unread: twice this and what one system call gave.
READ_BYTES: Final = 64 * 1024
BUFFER_BYTES: Final = 256 * 1024
_TCP_CLOSE: Final = 7  # include/net/tcp_states.h
_TCP_CLOSE_WAIT: Final = 8


class ByteLink(Protocol):
    """What the sessions need: TCP, TLS, or a tunnel in a WebSocket."""

    async def read(self) -> bytes:
        """Some bytes, or none at the end."""

    def write(self, data: bytes) -> None:
        """Queue bytes; follow with ``drain``."""

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        """``write`` all of them in a row, if possible without copying them."""

    async def drain(self) -> None:
        """Wait until the client has taken enough that more may be written."""

    async def flush(self) -> None:
        """Wait until all is handed to the kernel."""

    @property
    def congested(self) -> bool:
        """Whether somebody waits in ``drain``."""

    @property
    def piece_bytes(self) -> int:
        """How much is to be moved, or held for one direction, at once."""

    def end(self) -> None:
        """Say that nothing more will be written, where the transport can; later writes vanish."""

    def peer_has_closed(self) -> bool:
        """Whether the client has gone though bytes of its are still unread."""


class Link:
    """ByteLink on an asyncio stream."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        clock: Callable[[], float],
        plain: socket.socket | None = None,
        piece_bytes: Callable[[], int] = lambda: BUFFER_BYTES,
    ) -> None:
        """``plain`` is the writer's own socket unless something is between the two, as TLS is."""
        self._piece_bytes = piece_bytes
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._plain = plain
        self._draining = 0
        self._pushed_back = b""
        self._ended = False
        self.last_activity_s = clock()
        writer.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def push_back(self, data: bytes) -> None:
        """Let ``read`` give these bytes first: what followed the HTTP head."""
        self._pushed_back = data

    async def read(self) -> bytes:
        """Some bytes, or none at the end; a broken connection is an end, too."""
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back, b""
            return data
        try:
            data = await self._reader.read(BUFFER_BYTES)
        except OSError:
            return b""
        self.last_activity_s = self._clock()
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes; nothing happens on a closed connection, the reader notices it."""
        if data and not self._ended and not self._writer.is_closing():
            self._writer.write(data)

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        """The kernel gathers what the socket takes at once: joining large pieces costs more than sending."""
        sent = self._send_now(pieces)
        for piece in pieces:
            if sent < len(piece) and not self._ended and not self._writer.is_closing():
                self._writer.write(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))

    def _send_now(self, pieces: Sequence[bytes]) -> int:
        """How many bytes the socket took; none when it is not ours to write to, or others are before them."""
        if self._plain is None or self._ended or self._writer.is_closing():
            return 0
        if self._writer.transport.get_write_buffer_size():
            return 0
        try:
            return self._plain.sendmsg(pieces)
        except OSError:
            return 0  # full; or broken, which whoever reads will notice

    def end(self) -> None:
        """Half-close; under TLS the end is only said by closing."""
        self._ended = True
        if self._writer.can_write_eof() and not self._writer.is_closing():
            with suppress(OSError):  # the client has closed already
                self._writer.write_eof()

    async def drain(self) -> None:
        """Wait for room; a broken connection has room for everything."""
        self._draining += 1
        try:
            await self._writer.drain()
        except OSError:
            return
        finally:
            self._draining -= 1
        self.last_activity_s = self._clock()

    async def flush(self) -> None:
        """Wait until the kernel has everything."""
        self._writer.transport.set_write_buffer_limits(high=0)
        await self.drain()

    @property
    def congested(self) -> bool:
        """Whether somebody waits in ``drain``."""
        return self._draining > 0

    @property
    def piece_bytes(self) -> int:
        """This session's share."""
        return self._piece_bytes()

    def abort(self) -> None:
        """Close at once; what was not sent is dropped."""
        self._writer.transport.abort()

    def peer_has_closed(self) -> bool:
        """Ask TCP: with reading paused, asyncio does not see the end that waits behind unread bytes."""
        peer = self._writer.get_extra_info("socket")
        if self._writer.is_closing() or peer is None or peer.fileno() < 0:
            return True
        state: int = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state in (_TCP_CLOSE, _TCP_CLOSE_WAIT)

    async def close(self, timeout_s: float) -> None:
        """Close; what the client does not take in time is dropped."""
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._writer.wait_closed()
        self._writer.transport.abort()


async def linger(link: ByteLink, timeout_s: float) -> None:
    """Read until the client closes: closing with unread bytes would reset what it has not read yet."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while await link.read():
                pass
