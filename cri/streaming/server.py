"""The streaming server: URLs with single-use tokens, one port, plain or TLS.

    exec_url, attach_url, port_forward_url ──▶ <base>/<kind>/<token> ──client──▶ Visit ──▶ session

A connection that fails takes nothing with it but itself.
"""

import asyncio
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final

from api.errors import FailedPrecondition, InvalidArgument
from cri.streaming.backend import AttachRequest, Backend, ExecRequest, PortForwardRequest, StreamRequest
from cri.streaming.http_head import Refused
from cri.streaming.link import READ_BYTES, Link
from cri.streaming.timeouts import Timeouts
from cri.streaming.tls import ReloadingTls, TlsFiles
from cri.streaming.tokens import Tokens
from cri.streaming.visit import Visit

logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
# Small frames go out at once; a client that has vanished without a word is noticed within minutes.
_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 8),
)
_PAUSE_WITHOUT_DESCRIPTORS_S: Final = 1.0


class CannotListen(FailedPrecondition):
    """The address or port is not to be had; the text names the option."""


class BadAddress(InvalidArgument):
    """``stream_address`` or ``stream_port`` has no meaning."""


class _Idle(Exception):
    """Nothing was said for too long."""


class StreamingServer:
    """Serves exec, attach and port-forward."""

    def __init__(
        self,
        backend: Backend,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: TlsFiles | None = None,
        timeouts: Timeouts | None = None,
        max_connections: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._address = address
        self._port = port
        self._tls_files = tls
        self._timeouts = timeouts or Timeouts()
        self._max_connections = max_connections
        self._clock = clock
        self._tokens: Tokens[StreamRequest] = Tokens(clock)
        self._tls: ReloadingTls | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._visits: set[asyncio.Task[None]] = set()

    # ---- URLs

    def exec_url(self, request: ExecRequest) -> str:
        """Where a client runs the command, once, within a minute (TooManyTokens when many wait)."""
        return self._url("exec", request)

    def attach_url(self, request: AttachRequest) -> str:
        """Where a client attaches, once, within a minute (TooManyTokens when many wait)."""
        return self._url("attach", request)

    def port_forward_url(self, request: PortForwardRequest) -> str:
        """Where a client forwards ports, once, within a minute (TooManyTokens when many wait)."""
        return self._url("portforward", request)

    @property
    def base_url(self) -> str:
        """``http`` or ``https``, an address that this host reaches, the port; only after ``start``."""
        if self._listener is None:
            raise FailedPrecondition("the streaming server has not been started")
        address, port = self._listener.getsockname()[:2]
        if ipaddress.ip_address(address).is_unspecified:  # the kubelet is on this host
            address = "::1" if ":" in address and self._address else "127.0.0.1"
        host = f"[{address}]" if ":" in address else address
        return f"{'https' if self._tls_files else 'http'}://{host}:{port}"

    def _url(self, kind: str, request: StreamRequest) -> str:
        return f"{self.base_url}/{kind}/{self._tokens.issue(request)}"

    # ---- life

    async def start(self) -> None:
        """Listen.

        Raises:
            BadAddress: ``stream_address`` is no IP address or ``stream_port`` no port.
            CannotListen: the address is not ours or the port is taken.
            BadTls: a certificate, key or CA is not usable.
        """
        if self._tls_files is not None:
            self._tls = await asyncio.to_thread(ReloadingTls, self._tls_files)
        self._listener = _listen(self._address, self._port)
        self._accepting = asyncio.create_task(self._accept(self._listener), name="streaming-accept")
        logger.info("streaming server listens url=%s", self.base_url)

    async def close(self) -> None:
        """Stop listening and end every session; their processes are let go as when a client leaves."""
        tasks = [task for task in (self._accepting, *self._visits) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._visits)

    # ---- connections

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptors left, or the client is gone already
                logger.warning("streaming accept failed error=%s", error)
                await asyncio.sleep(_PAUSE_WITHOUT_DESCRIPTORS_S)
                continue
            task = asyncio.create_task(self._receive(peer), name="streaming-visit")
            self._visits.add(task)
            task.add_done_callback(self._visits.discard)
            task.add_done_callback(partial(_close, peer))

    async def _receive(self, peer: socket.socket) -> None:
        """Serve one client and close; what goes wrong here ends here."""
        try:
            link = await self._open(peer)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            logger.debug("streaming client failed to connect error=%s", error)
            return
        try:
            await self._visit(link)
        except Exception:
            logger.exception("streaming session failed")
        finally:
            await link.close(self._timeouts.linger_s)

    async def _open(self, peer: socket.socket) -> Link:
        for level, option, value in _SOCKET_OPTIONS:
            peer.setsockopt(level, option, value)
        context = await asyncio.to_thread(self._tls.current) if self._tls else None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=READ_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            peer,
            ssl=context,
            ssl_handshake_timeout=self._timeouts.tls_handshake_s if context else None,
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return Link(reader, writer, self._clock, None if context else peer)

    async def _visit(self, link: Link) -> None:
        visit = Visit(link, self._backend, self._tokens.take, self._timeouts)
        if len(self._visits) > self._max_connections:
            text = f"{self._max_connections} streaming connections are open; try again later"
            await visit.refuse(Refused(HTTPStatus.TOO_MANY_REQUESTS, text, (("Retry-After", "1"),)))
            return
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch(link))
                await visit.run()
                watcher.cancel()
        except* _Idle:
            logger.info("streaming session closed, idle for %g s", self._timeouts.idle_s)

    async def _watch(self, link: Link) -> None:
        while True:
            left_s = link.last_activity_s + self._timeouts.idle_s - self._clock()
            if left_s <= 0:
                raise _Idle
            await asyncio.sleep(left_s)


def _close(peer: socket.socket, _: asyncio.Task[None]) -> None:
    """Close the socket even of a task that was cancelled before its first step."""
    peer.close()


def _listen(address: str, port: int) -> socket.socket:
    """A listening socket; an empty address means all of this host's, IPv6 and IPv4."""
    if not 0 <= port <= 0xFFFF:
        raise BadAddress(f"stream_port: {port} is not a port; use 0 for a free one or 1 to 65535")
    try:
        if not address:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            server = socket.create_server(("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)
        else:
            family = socket.AF_INET6 if _ip(address).version == 6 else socket.AF_INET
            server = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # create_server repeats the address in strerror.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(
            f"stream_address, stream_port: cannot listen on {address or '*'} port {port}: {why}"
        ) from None
    server.setblocking(False)
    return server


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        raise BadAddress(f"stream_address: {address!r} is not an IP address") from None
