"""The daemon's half of streaming: URLs with single-use tokens, the port, and a process that serves it.

    exec_url, attach_url, port_forward_url ──▶ <base>/<kind>/<token>
    client ──▶ streaming process (cri.streaming.process) ──token, session──▶ Service ──▶ Backend

The listening socket and the table of tokens are the daemon's, so that neither port nor URLs change when the
process is lost; another takes its place at once. Nothing of it is waited for, and no end of it is ours.
"""

import asyncio
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Final

from api.errors import FailedPrecondition, InvalidArgument
from cri.streaming.backend import AttachRequest, Backend, ExecRequest, PortForwardRequest, StreamRequest
from cri.streaming.launch import Process
from cri.streaming.seal import Seal
from cri.streaming.service import Service
from cri.streaming.settings import Settings
from cri.streaming.timeouts import Timeouts
from cri.streaming.tls import TlsFiles, WatchedTls
from cri.streaming.tokens import Tokens
from host.spawn import CommandNotStarted

logger = logging.getLogger(__name__)

_BACKLOG: Final = 4096
# Between one process's end and the next one's start, by how many in a row have ended young.
_DELAYS_S: Final = (0.0, 0.2, 1.0, 5.0)
_YOUNG_S: Final = 10.0


class CannotListen(FailedPrecondition):
    """The address or port is not to be had; the text names the option."""


class BadAddress(InvalidArgument):
    """``stream_address`` or ``stream_port`` has no meaning."""


class StreamingServer:
    """Gives out URLs for exec, attach and port-forward, and sees to it that they are served."""

    def __init__(
        self,
        backend: Backend,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: TlsFiles | None = None,
        timeouts: Timeouts | None = None,
        max_sessions: int = 1024,
        host_names: tuple[str, ...] = (),
        log: tuple[str, str] = ("info", "text"),
        name: str = "streaming",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``log`` is the process's level and form, ``name`` what lists of processes show of it."""
        self._backend = backend
        self._address = address
        self._port = port
        self._tls_files = tls
        self._name = name
        self._clock = clock
        seal = Seal.fresh()
        self._tokens: Tokens[StreamRequest] = Tokens(clock, mint=seal.mint)
        self._settings = Settings(
            key=seal.key,
            timeouts=timeouts or Timeouts(),
            most_sessions=max_sessions,
            tls=tls is not None,
            host_names=tuple(each.lower() for each in host_names),
            log_level=log[0],
            log_form=log[1],
        )
        self._tls: WatchedTls | None = None
        self._listener: socket.socket | None = None
        self._process: Process | None = None
        self._service: Service | None = None
        self._tasks: list[asyncio.Task[None]] = []

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

    async def start(self, led_away: Collection[int] = ()) -> None:
        """Listen, and start the process, which is not waited for: clients wait at the port.

        A free port is none of ``led_away``: a pod to which it leads would get the clients.

        Raises:
            BadAddress: ``stream_address`` is no IP address or ``stream_port`` no port.
            CannotListen: the address is not ours or the port is taken.
            BadTls: a certificate, key or CA is not usable.
        """
        if self._tls_files is not None:
            self._tls = await asyncio.to_thread(WatchedTls, self._tls_files)
        self._listener = _listen(self._address, self._port, led_away)
        self._tasks.append(asyncio.create_task(self._keep(self._listener), name="streaming-process"))
        if self._tls is not None:
            self._tasks.append(asyncio.create_task(self._watch_tls(self._tls), name="streaming-tls"))
        logger.info("streaming server listens url=%s", self.base_url)

    async def close(self) -> None:
        """Stop listening and end every session; their processes are let go as when a client leaves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    @property
    def connections(self) -> int:
        """How many clients have a session."""
        return self._service.sessions if self._service is not None else 0

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process is not None else None

    # ---- the process

    async def _keep(self, listener: socket.socket) -> None:
        """Have a process all the time."""
        young = 0
        while True:
            began_s = self._clock()
            try:
                how = await self._run(listener)
            except (CommandNotStarted, OSError) as error:
                how = str(error)
            except Exception as error:
                logger.exception("serving the streaming process failed")
                how = str(error)
            young = young + 1 if self._clock() - began_s < _YOUNG_S else 0
            delay_s = _DELAYS_S[min(young, len(_DELAYS_S) - 1)]
            logger.error(
                "the streaming process has ended, another is started how=%s delay_s=%g", how, delay_s
            )
            await asyncio.sleep(delay_s)

    async def _run(self, listener: socket.socket) -> str:
        """One process from its start to its end, which is told in words."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = Process.start(listener, theirs, self._name)
            except BaseException:
                ours.close()
                raise
        self._process = process
        over = asyncio.Event()
        service = Service(
            ours,
            self._backend,
            self._tokens.take,
            ready=lambda: logger.info("streaming process serves pid=%d", process.pid),
            lost=lambda _: over.set(),
        )
        self._service = service
        try:
            service.send(self._settings.to_message())
            self._tell_tls()
            await over.wait()  # the process holds the other end as long as it lives
        finally:
            self._service = None
            await service.close()
            await process.end()
            self._process = None
            how = process.release()
        return how

    def set_log_level(self, level: str) -> None:
        """For the next process; the present one keeps its level."""
        self._settings = replace(self._settings, log_level=level)

    # ---- TLS

    async def _watch_tls(self, tls: WatchedTls) -> None:
        while True:
            await asyncio.sleep(self._settings.timeouts.tls_check_s)
            with suppress(OSError):
                if await asyncio.to_thread(tls.changed):
                    self._tell_tls()

    def _tell_tls(self) -> None:
        if self._tls is not None and self._service is not None:
            self._service.send(*self._tls.to_message())


def _listen(address: str, port: int, led_away: Collection[int]) -> socket.socket:
    """A listening socket; an empty address means all of this host's, IPv6 and IPv4."""
    if not 0 <= port <= 0xFFFF:
        raise BadAddress(f"stream_port: {port} is not a port; use 0 for a free one or 1 to 65535")
    server = _bound(address, port)
    if port or server.getsockname()[1] not in led_away:
        return server
    server.close()
    for other in range(0xFFFF, 1023, -1):
        if other not in led_away:
            with suppress(CannotListen):
                return _bound(address, other)
    raise CannotListen("stream_port: no port is free that does not lead to a pod; set one, and free it")


def _bound(address: str, port: int) -> socket.socket:
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
