"""Clients of the streaming server over real sockets: SPDY by our own other end, WebSocket by hand."""

import asyncio
import base64
import os
import socket
import ssl
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.spdy import Connection
from cri.streaming.spdy_events import (
    ConnectionFailed,
    DataReceived,
    PongReceived,
    StreamAccepted,
    StreamReset,
)
from tests.harness.patience import patient

PATIENCE_S = patient(60.0)


async def connect(
    url: str, tls: ssl.SSLContext | None = None, receive_buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A plain connection to the server of a URL."""
    parts = urlsplit(url)
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (parts.hostname, parts.port))
    return await asyncio.open_connection(
        sock=client, ssl=tls, server_hostname=parts.hostname if tls else None, limit=1 << 20
    )


async def ask(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], url: str, method: str, *headers: str
) -> tuple[int, str]:
    """Send a head and read the answer's: status and text."""
    try:
        return await _ask(streams, url, method, *headers)
    except (OSError, EOFError):
        streams[1].close()
        raise


async def _ask(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], url: str, method: str, *headers: str
) -> tuple[int, str]:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", "Host: node", *headers, "", ""]
    streams[1].write("\r\n".join(lines).encode())
    answer = (await streams[0].readuntil(b"\r\n\r\n")).decode()
    return int(answer.split()[1]), answer


async def refusal(url: str, method: str, *headers: str) -> tuple[int, str]:
    """Status and whole text of an answer that closes the connection."""
    streams = await connect(url)
    status, head = await ask(streams, url, method, *headers)
    body = await streams[0].read()
    streams[1].close()
    await streams[1].wait_closed()
    return status, head + body.decode()


class SpdyClient:
    """Speaks SPDY; collects what comes, stream by stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = Connection(client=True)
        self._changed = asyncio.Event()
        self.data: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.received_bytes = 0
        self.accepted: set[int] = set()
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.pongs: list[int] = []
        self.closed = False
        self.protocol = ""
        self.keep = True
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def upgrade(
        cls,
        url: str,
        protocol: str,
        *,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int = 0,
        start: bool = True,
    ) -> Self:
        streams = await connect(url, tls, receive_buffer)
        status, head = await ask(
            streams,
            url,
            "POST",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            f"X-Stream-Protocol-Version: {protocol}",
        )
        assert status == 101, head
        assert f"x-stream-protocol-version: {protocol}\r\n" in head.lower()
        client = cls(*streams)
        if start:
            client.start_reading()
        return client

    def start_reading(self) -> None:
        self._task = asyncio.ensure_future(self._read())

    async def open(self, *, end: bool = False, **headers: str) -> int:
        stream_id, data = self._connection.open_stream(
            {name: (value,) for name, value in headers.items()}, end=end
        )
        await self.send_raw(data)
        return stream_id

    async def open_command(self, *names: str) -> dict[str, int]:
        return {name: await self.open(streamType=name) for name in names}

    async def send(self, stream_id: int, data: bytes = b"", *, end: bool = False) -> None:
        await self.send_raw(self._connection.send_data(stream_id, data, end=end))

    async def reset_stream(self, stream_id: int) -> None:
        await self.send_raw(self._connection.reset(stream_id))

    async def ping(self) -> int:
        ping_id, data = self._connection.ping()
        await self.send_raw(data)
        return ping_id

    async def send_raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def vanish(self) -> None:
        """Be gone at once and with a reset, as a killed client whose bytes nobody takes."""
        client: socket.socket = self._writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        await self.close()

    async def _read(self) -> None:
        with suppress(OSError):
            while data := await self._next():
                for event in self._events(data):
                    assert not isinstance(event, ConnectionFailed), event
                    self._note(event)
                self._changed.set()
        self.closed = True
        self._changed.set()

    def _events(self, data: bytes) -> Iterator[object]:
        """All of it: of many frames that came together, each call tells a turn's worth."""
        yield from self._connection.receive(data)
        while self._connection.unread:
            yield from self._connection.receive(b"")

    async def _next(self) -> bytes:
        return await self._reader.read(1 << 18)

    def _note(self, event: object) -> None:
        match event:
            case DataReceived(stream_id, data, ended):
                self.received_bytes += len(data)
                if self.keep:
                    self.data[stream_id] += data
                if ended:
                    self.ended.add(stream_id)
            case StreamAccepted(stream_id):
                self.accepted.add(stream_id)
            case StreamReset(stream_id):
                self.reset.add(stream_id)
            case PongReceived(ping_id):
                self.pongs.append(ping_id)


class RawWebSocket:
    """A WebSocket client that may name any subprotocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = ClientProtocol(parse_uri("ws://node/"), state=State.OPEN, max_size=None)
        self._messages: list[Frame] = []

    @classmethod
    async def upgrade(cls, url: str, subprotocol: str | None, tls: ssl.SSLContext | None = None) -> Self:
        streams = await connect(url, tls)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}"]
        headers += ["Sec-WebSocket-Version: 13"]
        headers += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
        status, head = await ask(streams, url, "GET", *headers)
        assert status == 101, head
        assert ("sec-websocket-protocol" in head.lower()) == (subprotocol is not None)
        return cls(*streams)

    async def send(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        await self._flush()

    async def send_close(self) -> None:
        self._protocol.send_close(1000)
        await self._flush()

    async def message(self) -> bytes | None:
        """The next message; None when the server has closed."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._messages:
                if not (data := await self._reader.read(1 << 18)):
                    return None
                self._protocol.receive_data(data)
                frames = [each for each in self._protocol.events_received() if isinstance(each, Frame)]
                self._messages += [each for each in frames if each.opcode in (Opcode.BINARY, Opcode.TEXT)]
                await self._flush()
        return bytes(self._messages.pop(0).data)

    async def messages(self) -> list[bytes]:
        """All that come until the server closes."""
        got = []
        while (message := await self.message()) is not None:
            got.append(message)
        return got

    @property
    def close_code(self) -> int | None:
        return self._protocol.close_rcvd.code if self._protocol.close_rcvd else None

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _flush(self) -> None:
        # The last piece is b"" when the protocol wants the connection half-closed.
        self._writer.write(b"".join(self._protocol.data_to_send()))
        with suppress(OSError):
            await self._writer.drain()


class TunnelClient(SpdyClient):
    """SPDY inside a WebSocket."""

    socket: RawWebSocket

    @classmethod
    async def tunnel(cls, url: str, subprotocol: str, tls: ssl.SSLContext | None = None) -> Self:
        socket = await RawWebSocket.upgrade(url, subprotocol, tls)
        client = cls(socket._reader, socket._writer)
        client.socket = socket
        client.start_reading()
        return client

    async def send_raw(self, data: bytes) -> None:
        # Cut in the middle: message borders mean nothing in a tunnel.
        await self.socket.send(data[: len(data) // 2])
        await self.socket.send(data[len(data) // 2 :])

    async def _next(self) -> bytes:
        return await self.socket.message() or b""
