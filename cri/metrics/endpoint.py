"""GET /metrics, and the node's page where it is enabled, over HTTP/1.1, TLS or a Unix socket: one answer a
connection.

Whoever reaches the port costs the daemon little: some connections at once, the oldest of which goes for the
next, and a page that is used again while making new ones would take more than a tenth of the time.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

from api.errors import FailedPrecondition
from conf.schema import MetricsTable
from cri.http_clients import Clients, read_head
from cri.streaming.http_head import Head, HeadReader, Refused

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CLIENT_TIMEOUT_S = 10.0
MOST_CLIENTS: Final = 64
_SHARE_OF_TIME: Final = 0.1
_VERSIONS: Final = {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}


class MetricsNotServed(FailedPrecondition):
    """The endpoint cannot be opened as the configuration has it."""


class Pages(Protocol):
    """What else is served (cri/page/service.py)."""

    def serves(self, path: str) -> bool: ...

    async def answer(self, head: Head) -> bytes: ...


class Endpoint:
    """Serves what ``text`` gives; made by ``open``."""

    def __init__(self, text: Callable[[], bytes], pages: Pages | None = None) -> None:
        self._text = text
        self._pages = pages
        self._servers: list[asyncio.Server] = []
        self._clients = Clients(MOST_CLIENTS)
        self._page = b""
        self._page_good_until_s = -math.inf

    @classmethod
    async def open(
        cls,
        table: MetricsTable,
        tls_min_version: str,
        text: Callable[[], bytes],
        pages: Pages | None = None,
    ) -> "Endpoint":
        """Listen on address and port, and on the socket if one is set. Certificates are read once, now.

        Raises:
            MetricsNotServed: naming the option at fault.
        """
        endpoint = cls(text, pages)
        try:
            await endpoint._listen(table, server_tls(table, tls_min_version))
            if table.metrics_socket is not None:
                await endpoint._listen_unix(table.metrics_socket)
        except BaseException:
            await endpoint.close()
            raise
        return endpoint

    @property
    def port(self) -> int:
        """The TCP port, also where 0 left the choice to the kernel."""
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Listen no more; an answer under way is cut by the end of the loop at the latest."""
        for server in self._servers:
            server.close()

    async def _listen(self, table: MetricsTable, tls: ssl.SSLContext | None) -> None:
        host, port = table.metrics_host, int(table.metrics_port)
        try:
            self._servers.append(await asyncio.start_server(self._serve, host, port, ssl=tls))
        except OSError as error:
            raise MetricsNotServed(
                f"metrics cannot be served on {host} port {port}: {error.strerror}; "
                "set metrics_host and metrics_port of [crio.metrics]"
            ) from error
        logger.info("serving metrics on %s port %d", host, self.port)

    async def _listen_unix(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
            self._servers.append(await asyncio.start_unix_server(self._serve, path))
            path.chmod(0o660)
        except OSError as error:
            raise MetricsNotServed(f"metrics_socket {path}: {error.strerror}") from error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._clients.connected(writer):
            try:
                async with asyncio.timeout(CLIENT_TIMEOUT_S):
                    writer.write(await self._answer(reader))
                    await writer.drain()
            except (OSError, TimeoutError) as error:
                logger.debug("metrics client lost: %s", error)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        heads = HeadReader()
        try:
            if (head := await read_head(heads, reader)) is None:
                return b""
            if self._pages is not None and self._pages.serves(head.path):
                return await self._pages.answer(head)
            return _response(self._current(), head)
        except Refused as refusal:
            return heads.refuse(refusal)

    def _current(self) -> bytes:
        now_s = time.monotonic()
        if now_s >= self._page_good_until_s:
            self._page = self._text()
            taken_s = time.monotonic() - now_s
            self._page_good_until_s = now_s + taken_s / _SHARE_OF_TIME
        return self._page


def _response(body: bytes, head: Head) -> bytes:
    if head.path != "/metrics":
        raise Refused(
            HTTPStatus.NOT_FOUND, "only /metrics is served here, and the page /ui/ if enable_page is set"
        )
    if head.method not in ("GET", "HEAD"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is allowed", (("Allow", "GET, HEAD"),))
    lines = (
        "HTTP/1.1 200 OK",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + (body if head.method == "GET" else b"")


def server_tls(table: MetricsTable, minimum_version: str) -> ssl.SSLContext | None:
    """The context of the configured certificate; None without one.

    Raises:
        MetricsNotServed: naming the option at fault.
    """
    if table.metrics_cert is None or table.metrics_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum_version]
    try:
        context.load_cert_chain(table.metrics_cert, table.metrics_key, password="")
    except (OSError, ValueError) as error:
        raise MetricsNotServed(
            f"metrics_cert {table.metrics_cert} with metrics_key {table.metrics_key}: {error}"
        ) from error
    return context
