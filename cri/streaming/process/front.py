"""The listener of the streaming process: takes everybody in; who says nothing goes for who comes.

    accepted ──▶ Visitor: bytes are gathered ──head complete──▶ visit ──token of ours──▶ admitted ──▶ session
                 put out, by others or by time                        otherwise refused

Until its head is complete a visitor is a socket and a few bytes: thousands that say nothing, or half of
something, cost microseconds each, so that a client with a token does not wait behind them. With TLS the visit
begins with the first byte. A connection that fails takes nothing with it but itself.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from cri.streaming.http_head import LONGEST_HEAD_BYTES, Refused
from cri.streaming.link import BUFFER_BYTES, READ_BYTES, Link
from cri.streaming.process.admission import Admission, client_of
from cri.streaming.process.remote import Daemon, DaemonSaid
from cri.streaming.seal import Seal
from cri.streaming.settings import Settings
from cri.streaming.visit import Admitted, Visit

logger = logging.getLogger(__name__)

# Small frames go out at once; a client that has vanished without a word is noticed within minutes.
_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 8),
)
_PAUSE_WITHOUT_DESCRIPTORS_S: Final = 0.1
_ACCEPTED_IN_A_TURN: Final = 64
_HEAD_PIECE_BYTES: Final = 16 << 10
_HEAD_ENDS: Final = (b"\n\r\n", b"\n\n")
# What all sessions together may hold: up to eight pieces each, in and out, ours and asyncio's.
_ALL_PIECES_BYTES: Final = 128 << 20
_PIECES_OF_A_SESSION: Final = 8
_LEAST_PIECE_BYTES: Final = 16 << 10


class _Idle(Exception):
    """Nothing was said for too long."""


class _NoTls(Exception):
    """TLS is to be spoken, and no usable certificate has come yet."""


class _Visitor:
    """Who has connected: a socket, what it has said, and later the task that serves it."""

    __slots__ = ("_loop", "_ready", "_timer", "_whole_head", "peer", "said", "task")

    def __init__(
        self, peer: socket.socket, patience_s: float, ready: Callable[["_Visitor"], None], *, whole_head: bool
    ) -> None:
        """``ready`` is called once: when the head is complete or too long, or with the first byte."""
        self.peer = peer
        self.said = b""
        self.task: asyncio.Task[None] | None = None
        self._ready = ready
        self._whole_head = whole_head
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        peer.setblocking(False)
        if not self._listen():
            self._loop.add_reader(peer, self._listen)
            self._timer = self._loop.call_later(patience_s, self.put_out)

    def put_out(self) -> None:
        """End the connection, wherever it is. Idempotent."""
        if self.task is not None:
            self.task.cancel()
        else:
            self._stop_listening()
            self.peer.close()
            self._ready(self)

    def _stop_listening(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._loop.remove_reader(self.peer)

    def _listen(self) -> bool:
        """Take what has come; True when there is nothing more to wait for."""
        try:
            data = self.peer.recv(_HEAD_PIECE_BYTES, 0 if self._whole_head else socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.put_out()
            return True
        if self._whole_head:
            since = max(0, len(self.said) - 2)
            self.said += data
            ended = any(self.said.find(end, since) >= 0 for end in _HEAD_ENDS)
            if not ended and len(self.said) <= LONGEST_HEAD_BYTES:
                return False
        self._stop_listening()
        self._ready(self)
        return True


class Front:
    """Serves a listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        daemon: Daemon,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._daemon = daemon
        self._settings = settings
        self._timeouts = settings.timeouts
        self._seal = Seal(settings.key)
        self._clock = clock
        self._waiting: Admission[_Visitor] = Admission()
        self._sessions = 0
        # The context for the next client.
        self.tls: ssl.SSLContext | None = None

    def open(self) -> None:
        """Take clients in from now on."""
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_IN_A_TURN):
            try:
                peer, address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # no descriptors left
                logger.warning("streaming accept failed error=%s", error)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(_PAUSE_WITHOUT_DESCRIPTORS_S, self.open)
                return
            self._let_in(peer, address[0])

    def _let_in(self, peer: socket.socket, address: str) -> None:
        visitor = _Visitor(peer, self._timeouts.head_s, self._begin, whole_head=not self._settings.tls)
        if visitor.peer.fileno() < 0:
            return  # gone already
        put_out = self._waiting.enter(visitor, client_of(address))
        if put_out is not None:
            put_out.put_out()

    def _begin(self, visitor: _Visitor) -> None:
        """Serve a visitor that has said enough; forget one that is gone."""
        if visitor.peer.fileno() < 0:
            self._waiting.leave(visitor)
            return
        visitor.task = asyncio.create_task(self._receive(visitor), name="streaming-visit")
        visitor.task.add_done_callback(partial(self._part, visitor))

    def _part(self, visitor: _Visitor, _: asyncio.Task[None]) -> None:
        """Close the socket even of a task that was cancelled before its first step."""
        self._waiting.leave(visitor)
        visitor.peer.close()

    def piece_bytes(self) -> int:
        """A session's share of what all may hold, by piece."""
        fair = _ALL_PIECES_BYTES // (_PIECES_OF_A_SESSION * max(1, self._sessions))
        return max(_LEAST_PIECE_BYTES, min(BUFFER_BYTES, fair))

    # ---- one client

    async def _receive(self, visitor: _Visitor) -> None:
        """Serve one client and close; what goes wrong here ends here."""
        try:
            link = await self._open(visitor.peer)
        except (OSError, TimeoutError, _NoTls) as error:  # ssl.SSLError is an OSError
            logger.debug("streaming client failed to connect error=%s", error)
            return
        link.push_back(visitor.said)
        visitor.said = b""
        try:
            await self._visit(visitor, link)
        except asyncio.CancelledError:
            link.abort()
            raise
        except Exception:
            logger.exception("streaming session failed")
        finally:
            await link.close(self._timeouts.linger_s)

    async def _open(self, peer: socket.socket) -> Link:
        for level, option, value in _SOCKET_OPTIONS:
            peer.setsockopt(level, option, value)
        reader = asyncio.StreamReader(limit=READ_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        if self._settings.tls:
            transport = await self._handshake(peer, protocol)
        else:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, peer)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return Link(reader, writer, self._clock, None if self._settings.tls else peer, self.piece_bytes)

    async def _handshake(
        self, peer: socket.socket, protocol: asyncio.StreamReaderProtocol
    ) -> asyncio.WriteTransport:
        """Speak TLS; a client that is refused is told why by an alert."""
        if self.tls is None:
            raise _NoTls("no certificate")
        context = _Telling(self.tls)
        with peer.dup() as second:  # asyncio closes the socket before we can say anything
            try:
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol,
                    peer,
                    ssl=context,  # type: ignore[arg-type]
                    ssl_handshake_timeout=self._timeouts.tls_handshake_s,
                )
            except ssl.SSLError:
                second.setblocking(False)
                second.send(context.alert)
                raise
        return transport

    async def _visit(self, visitor: _Visitor, link: Link) -> None:
        held = _Held()
        visit = Visit(link, partial(self._admit, visitor, held), self._timeouts, self._settings.host_names)
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch(link))
                await visit.run()
                watcher.cancel()
        except* _Idle:
            logger.info("streaming session closed, idle for %g s", self._timeouts.idle_s)
        finally:
            self._sessions -= held.slots

    async def _admit(self, visitor: _Visitor, held: "_Held", kind: str, token: str) -> Admitted | None:
        """Ask the daemon about a token of ours; from then on the visit cannot be put out."""
        if not self._seal.recognises(token):
            return None
        if self._sessions >= self._settings.most_sessions:
            raise _full(f"{self._settings.most_sessions} streaming sessions are open; try again later")
        self._sessions += 1
        held.slots = 1
        self._waiting.leave(visitor)
        try:
            return await self._daemon.take(kind, token)
        except DaemonSaid as error:
            raise _full(str(error)) from None

    async def _watch(self, link: Link) -> None:
        while True:
            left_s = link.last_activity_s + self._timeouts.idle_s - self._clock()
            if left_s <= 0:
                raise _Idle
            await asyncio.sleep(left_s)


class _Held:
    """Whether a visit has one of the sessions' places."""

    slots = 0


class _Telling:
    """A TLS context that keeps what a failed handshake would still say: asyncio drops it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.alert = b""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **options: Any) -> ssl.SSLObject:
        """As the context's, which asyncio calls once a connection."""
        tls = self._context.wrap_bio(incoming, outgoing, **options)
        handshake = tls.do_handshake

        def telling() -> None:
            try:
                handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError:
                self.alert = outgoing.read()
                raise

        tls.do_handshake = telling  # type: ignore[method-assign]
        return tls


def _full(text: str) -> Refused:
    return Refused(HTTPStatus.TOO_MANY_REQUESTS, text, (("Retry-After", "1"),))
