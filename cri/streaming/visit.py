"""One connection to the streaming server: HTTP head, token, upgrade, session.

head ──token known──▶ upgraded ──▶ session        anything else: a plain answer (400, 403, 404, 405, 421, 429)
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from http import HTTPStatus
from typing import Protocol

from cri.streaming.backend import AttachRequest, Backend, ExecRequest, PortForwardRequest, StreamRequest
from cri.streaming.command_session import CommandSession
from cri.streaming.forward_session import ForwardSession
from cri.streaming.http_head import Head, HeadReader, Refused
from cri.streaming.link import Link, linger
from cri.streaming.negotiate import Transport, choose, spdy_answer, transport_of
from cri.streaming.origin import check_origin
from cri.streaming.portforward import PROTOCOL, TUNNEL_PROTOCOL, PortForward
from cri.streaming.portforward_websocket import CHANNEL_PROTOCOLS, MOST_PORTS, WebSocketForward
from cri.streaming.remotecommand import SPDY_PROTOCOLS, WEBSOCKET_PROTOCOLS, CommandProtocol, version_of
from cri.streaming.remotecommand_spdy import SpdyCommand
from cri.streaming.remotecommand_websocket import WebSocketCommand
from cri.streaming.timeouts import Timeouts
from cri.streaming.tunnel import Tunnel
from cri.streaming.websocket import WebSocket

logger = logging.getLogger(__name__)


class Admitted(Backend, Protocol):
    """What a token stood for, and the way to it."""

    @property
    def request(self) -> StreamRequest:
        """What the client may do."""

    def close(self) -> None:
        """The visit is over; idempotent."""


# By kind of request and token; None for a token that is not good, Refused where there is no room.
Admit = Callable[[str, str], Awaitable[Admitted | None]]


class Visit:
    """Serves one client."""

    def __init__(
        self, link: Link, admit: Admit, timeouts: Timeouts, host_names: Collection[str] = ()
    ) -> None:
        self._link = link
        self._admit = admit
        self._timeouts = timeouts
        self._host_names = host_names
        self._http = HeadReader()

    async def run(self) -> None:
        """Return when the client was served or refused; the caller closes the link."""
        try:
            head = await self._head()
            if head is not None:
                await self._serve(head)
        except Refused as refusal:
            await self.refuse(refusal)

    async def refuse(self, refusal: Refused) -> None:
        """Answer without an upgrade."""
        self._link.write(self._http.refuse(refusal))
        await self._link.flush()
        self._link.end()
        await linger(self._link, self._timeouts.linger_s)

    async def _head(self) -> Head | None:
        try:
            async with asyncio.timeout(self._timeouts.head_s):
                return await self._read_head()
        except TimeoutError:
            logger.debug("streaming client sent no request in time")
            return None

    async def _read_head(self) -> Head | None:
        """The request; None when the client closed without a word, as health checks do."""
        received = 0
        while data := await self._link.read():
            received += len(data)
            head = self._http.receive(data)
            if head is not None:
                return head
        if received:
            logger.debug("streaming client closed within its request")
        return None

    async def _serve(self, head: Head) -> None:
        check_origin(head, self._host_names)
        admitted = await self._admitted(head)
        try:
            request, transport = admitted.request, transport_of(head)
            logger.debug("streaming session begins request=%r transport=%s", request, transport)
            if isinstance(request, PortForwardRequest):
                await self._forward(admitted, request, head, transport)
            else:
                await self._command(admitted, request, head, transport)
        finally:
            admitted.close()

    async def _admitted(self, head: Head) -> Admitted:
        """What the token stands for; a token on another path than its own is used up all the same."""
        _, _, rest = head.path.partition("/")
        kind, _, token = rest.partition("/")
        admitted = await self._admit(kind, token)
        if admitted is None:
            raise Refused(
                HTTPStatus.NOT_FOUND, "no such streaming request: its token is unknown, used or expired"
            )
        return admitted

    # ---- exec and attach

    async def _command(
        self, backend: Backend, request: ExecRequest | AttachRequest, head: Head, transport: Transport
    ) -> None:
        attached = isinstance(request, AttachRequest)
        start = (
            partial(backend.attach, request)
            if isinstance(request, AttachRequest)
            else partial(backend.exec, request)
        )
        protocol = self._command_protocol(request, head, transport)
        await CommandSession(self._link, protocol, start, self._timeouts, attached=attached).run()

    def _command_protocol(
        self, request: ExecRequest | AttachRequest, head: Head, transport: Transport
    ) -> CommandProtocol:
        if transport is Transport.SPDY:
            name = choose(head, transport, SPDY_PROTOCOLS)
            self._switch(spdy_answer(name))
            return SpdyCommand(request.streams, version_of(name))
        name = choose(head, transport, WEBSOCKET_PROTOCOLS)
        socket = WebSocket()
        self._switch(socket.accept(head, name))
        command = WebSocketCommand(socket, request.streams, name)
        self._link.write(command.greeting())
        return command

    # ---- port-forward

    async def _forward(
        self, backend: Backend, request: PortForwardRequest, head: Head, transport: Transport
    ) -> None:
        dial = partial(backend.dial, request.sandbox_id)
        if transport is Transport.SPDY:
            self._switch(spdy_answer(choose(head, transport, [PROTOCOL])))
            await ForwardSession(self._link, PortForward(), dial, self._timeouts).run()
            return
        name = choose(head, transport, [TUNNEL_PROTOCOL, *CHANNEL_PROTOCOLS])
        socket = WebSocket()
        if name != TUNNEL_PROTOCOL:
            forward = WebSocketForward(socket, _channel_ports(request), name)
            self._switch(socket.accept(head, name))
            self._link.write(forward.greeting())
            await ForwardSession(self._link, forward, dial, self._timeouts).run()
            return
        self._switch(socket.accept(head, name))
        tunnel = Tunnel(self._link, socket)
        await ForwardSession(tunnel, PortForward(), dial, self._timeouts).run()
        tunnel.end()
        await self._link.flush()

    def _switch(self, headers: list[tuple[str, str]]) -> None:
        self._link.write(self._http.switch(headers))
        self._link.push_back(self._http.trailing)


def _channel_ports(request: PortForwardRequest) -> tuple[int, ...]:
    """The ports that a client with channels forwards.

    Raises:
        Refused: the request names none, or more than channels have numbers for.
    """
    if not 0 < len(request.ports) <= MOST_PORTS:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"the request is to name between 1 and {MOST_PORTS} ports, not {len(request.ports)}: "
            "over channels of a WebSocket the client cannot",
        )
    return request.ports
