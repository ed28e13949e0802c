"""Clients of a remote command over either transport, with one face."""

import asyncio
import json
import ssl
from collections import defaultdict
from contextlib import suppress
from typing import Protocol

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import TIMEOUT_S, Client
from tests.integration.streaming.clients import PATIENCE_S, RawWebSocket, SpdyClient

SPDY = "spdy"
WEBSOCKET = "websocket"
TRANSPORTS = (SPDY, WEBSOCKET)
_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}


class Remote(Protocol):
    """A remote command that is under way."""

    def got(self, stream: str) -> bytes:
        """What has come on ``stdout``, ``stderr`` or ``error``."""

    async def send(self, data: bytes) -> None:
        """Input for the process."""

    async def end_input(self) -> None:
        """No more input."""

    async def until_got(self, text: bytes, stream: str = "stdout") -> None:
        """Wait until a stream has this in it."""

    async def exit_code(self) -> int:
        """Wait for the status; the code it tells (AssertionError if it tells of another failure)."""

    async def leave(self) -> None:
        """Close the connection."""


def exit_code_of(status: bytes) -> int:
    """The code in a metav1.Status of the error stream."""
    told = json.loads(status)
    if told["status"] == "Success":
        return 0
    assert told["reason"] == "NonZeroExitCode", told
    return int(told["details"]["causes"][0]["message"])


class SpdyRemote:
    """Over SPDY, version 4."""

    def __init__(self, client: SpdyClient, ids: dict[str, int]) -> None:
        self.client = client
        self._ids = ids

    def got(self, stream: str) -> bytes:
        return bytes(self.client.data[self._ids[stream]])

    async def send(self, data: bytes) -> None:
        await self.client.send(self._ids["stdin"], data)

    async def end_input(self) -> None:
        await self.client.send(self._ids["stdin"], end=True)

    async def until_got(self, text: bytes, stream: str = "stdout") -> None:
        await self.client.until(lambda: text in self.got(stream))

    async def exit_code(self) -> int:
        await self.client.until(lambda: self._ids["error"] in self.client.ended)
        return exit_code_of(self.got("error"))

    async def leave(self) -> None:
        await self.client.close()


class WebSocketRemote:
    """Over WebSocket, version 5."""

    def __init__(self, socket: RawWebSocket) -> None:
        self._socket = socket
        self._got: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._changed = asyncio.Event()
        self._over = False
        self._reading = asyncio.create_task(self._read())

    def got(self, stream: str) -> bytes:
        return bytes(self._got[_NUMBERS[stream]])

    async def send(self, data: bytes) -> None:
        await self._socket.send(b"\0" + data)

    async def end_input(self) -> None:
        await self._socket.send(b"\xff\0")

    async def until_got(self, text: bytes, stream: str = "stdout") -> None:
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.got(stream):
                assert not self._over, f"over with {self.got(stream)!r}"
                await self._change()

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            while not self._over:
                await self._change()
        return exit_code_of(self.got("error"))

    async def leave(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _read(self) -> None:
        with suppress(OSError, TimeoutError):
            while (message := await self._socket.message()) is not None:
                self._got[message[0]] += message[1:]
                self._changed.set()
        self._over = True
        self._changed.set()


def exec_url(client: Client, container: str, *command: str, stdin: bool = False, tty: bool = False) -> str:
    """Ask for an exec with both outputs, or the terminal's one."""
    request = pb.ExecRequest(
        container_id=container, cmd=command, stdin=stdin, stdout=True, stderr=not tty, tty=tty
    )
    return str(client.runtime.Exec(request, timeout=TIMEOUT_S).url)


def attach_url(client: Client, container: str, *, stdin: bool = False, tty: bool = False) -> str:
    """Ask for an attachment to both outputs, or the terminal's one."""
    request = pb.AttachRequest(container_id=container, stdin=stdin, stdout=True, stderr=not tty, tty=tty)
    return str(client.runtime.Attach(request, timeout=TIMEOUT_S).url)


async def join(
    url: str, transport: str, *, stdin: bool = False, tty: bool = False, tls: ssl.SSLContext | None = None
) -> Remote:
    """Connect to a URL that was asked for with the same ``stdin`` and ``tty``."""
    if transport == WEBSOCKET:
        return WebSocketRemote(await RawWebSocket.upgrade(url, "v5.channel.k8s.io", tls))
    client = await SpdyClient.upgrade(url, "v4.channel.k8s.io", tls=tls)
    names = ["error", *(["stdin"] if stdin else []), "stdout", "resize" if tty else "stderr"]
    return SpdyRemote(client, await client.open_command(*names))


async def run(client: Client, transport: str, container: str, *command: str, stdin: bool = False) -> Remote:
    """Exec without a terminal."""
    return await join(exec_url(client, container, *command, stdin=stdin), transport, stdin=stdin)


async def attach(client: Client, transport: str, container: str, *, stdin: bool = False) -> Remote:
    """Attach without a terminal."""
    return await join(attach_url(client, container, stdin=stdin), transport, stdin=stdin)
