"""The monitor's socket: connections from the daemon, messages in, replies and events out."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence

from host.fds import MessageTruncated, close_all, receive_message
from host.local_sockets import listen, peer_of
from oci.monitor.outgoing import Outgoing
from oci.monitor.protocol import (
    MESSAGE_LIMIT,
    Json,
    ProtocolError,
    Request,
    decode,
    encode_error,
    encode_event,
    encode_reply,
    parse_request,
    request_id,
)
from oci.monitor.reactor import READ, WRITE, Reactor, complain

_BACKLOG_LIMIT = 20_000  # messages; a daemon that reads none of so many is as good as dead


class Answer:
    """The obligation to answer one request, once; the peer may be gone by then.

    One that is dropped unanswered answers with a failure by itself.
    """

    __slots__ = ("_given", "peer", "rid")

    def __init__(self, peer: "Peer", rid: int) -> None:
        """Answers go to ``peer`` under ``rid``."""
        self.peer = peer
        self.rid = rid
        self._given = False

    def done(self, result: Json, descriptors: Sequence[int] = ()) -> None:
        """Success, or failure when it is too long; the descriptors are duplicated and stay the caller's."""
        try:
            data = encode_reply(self.rid, result)
        except ProtocolError as error:
            complain(f"an answer could not be sent: {error}")
            self.failed("failed", str(error))
            return
        self.peer.send(data, descriptors)
        self._given = True

    @contextlib.contextmanager
    def certain(self) -> Iterator[None]:
        """Whatever goes wrong inside, there is an answer: who asked must not wait for ever."""
        try:
            yield
        except Exception as error:
            complain("a request failed in the middle", trace=True)
            if not self._given:
                self.failed("failed", f"{type(error).__name__}: {error}")

    def begun(self, pid: int) -> None:
        """Tell whom the answer is for which process works on it, so that this outlives us."""
        with contextlib.suppress(OSError):  # it is known by its command line, too
            pidfd = os.pidfd_open(pid)
            try:
                self.peer.send(encode_event("begun", {"rid": self.rid, "pid": pid}), [pidfd])
            finally:
                os.close(pidfd)

    def __del__(self) -> None:
        """Whoever should have answered has lost it, in a callback that failed perhaps."""
        if not self._given:
            self.failed("failed", "the monitor has lost the request; see monitor.log")

    def failed(self, kind: str, message: str) -> None:
        """Failure of a kind: not_found, not_live, log_refused, log_hung or failed."""
        self._given = True
        self.peer.send(encode_error(self.rid, kind, message))


Handler = Callable[[Answer, Request, list[int]], None]


class Peer:
    """One connection."""

    def __init__(
        self, reactor: Reactor, sock: socket.socket, handle: Handler, on_gone: Callable[["Peer"], None]
    ) -> None:
        """Serve ``sock``, which is taken over; ``handle`` owns the descriptors that it is given."""
        self.wants_events = False
        self._reactor = reactor
        self._sock = sock
        self._handle = handle
        self._on_gone = on_gone
        self._outgoing = Outgoing()
        self._open = True
        self._paused = False
        sock.setblocking(False)
        reactor.watch(sock.fileno(), READ, self._readable)

    @property
    def descriptor(self) -> int:
        """The socket, which stays its own."""
        return self._sock.fileno()

    @property
    def has_all(self) -> bool:
        """Whether everything that was sent is on its way."""
        return not self._outgoing

    def pause(self, *, yes: bool = True) -> None:
        """Leave requests in the socket; or serve them again."""
        self._paused = yes
        if self._open and not self._outgoing:
            self._listen()

    def _listen(self) -> None:
        if self._paused:
            self._reactor.unwatch(self._sock.fileno())
        else:
            self._reactor.watch(self._sock.fileno(), READ, self._readable)

    @property
    def is_open(self) -> bool:
        """Whether an answer would reach it."""
        return self._open

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send now or when the peer reads; a closed connection drops it."""
        if not self._open:
            return
        self._outgoing.add(data, descriptors)
        if len(self._outgoing) > _BACKLOG_LIMIT:
            self.close()
        elif len(self._outgoing) == 1:
            self._flush()

    def close(self) -> None:
        """Hang up. Idempotent."""
        if not self._open:
            return
        self._open = False
        self._reactor.unwatch(self._sock.fileno())
        self._sock.close()
        self._outgoing.clear()
        self._on_gone(self)

    def _flush(self) -> None:
        try:
            if self._outgoing.flush(self._sock):
                self._listen()
            else:
                self._reactor.watch(self._sock.fileno(), READ | WRITE, self._ready)
        except OSError:
            self.close()

    def _ready(self) -> None:
        self._flush()
        if self._open and not self._paused:
            self._readable()

    def _readable(self) -> None:
        try:
            data, descriptors = receive_message(self._sock, MESSAGE_LIMIT)
        except BlockingIOError:
            return
        except MessageTruncated:
            complain("message too long from the daemon")
            data = b""
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._serve(data, descriptors)

    def _serve(self, data: bytes, descriptors: list[int]) -> None:
        """Handle one message; whatever goes wrong becomes its reply."""
        try:
            message = decode(data)
            answer = Answer(self, request_id(message))
        except ProtocolError:
            complain("message without sense from the daemon")
            close_all(descriptors)
            return
        try:
            request = parse_request(message)
        except ProtocolError as error:
            close_all(descriptors)
            answer.failed("failed", str(error))
            return
        try:
            self._handle(answer, request, descriptors)
        except Exception as error:
            complain(f"{type(request).__name__} failed", trace=True)
            answer.failed("failed", f"{type(error).__name__}: {error}")


class Listener:
    """The listening socket ``<directory>/monitor.sock``, mode 0600; only root may speak."""

    def __init__(
        self,
        reactor: Reactor,
        path: str,
        handle: Handler,
        on_gone: Callable[[Peer], None],
        descriptor: int | None = None,
    ) -> None:
        """Replace a dead monitor's socket and listen, or go on with the socket ``descriptor``; the caller
        holds the directory's lock."""
        self._reactor = reactor
        self._handle = handle
        self._peer_gone = on_gone
        self.peers: list[Peer] = []
        self._sock = listen(path) if descriptor is None else socket.socket(fileno=descriptor)
        self._sock.setblocking(False)
        reactor.watch(self._sock.fileno(), READ, self._accept)

    @property
    def descriptor(self) -> int:
        """The socket, which stays its own."""
        return self._sock.fileno()

    @property
    def has_all(self) -> bool:
        """Whether everything that was sent is on its way."""
        return all(peer.has_all for peer in self.peers)

    def pause(self, *, yes: bool = True) -> None:
        """Leave connections and requests where they are; or serve them again."""
        if yes:
            self._reactor.unwatch(self._sock.fileno())
        else:
            self._reactor.watch(self._sock.fileno(), READ, self._accept)
        for peer in self.peers:
            peer.pause(yes=yes)

    def adopt(self, descriptor: int, wants_events: bool) -> Peer:
        """Go on with a connection."""
        peer = Peer(self._reactor, socket.socket(fileno=descriptor), self._handle, self._gone)
        peer.wants_events = wants_events
        self.peers.append(peer)
        return peer

    def broadcast(self, event: str, fields: Json) -> None:
        """Send an event to every peer that wants them."""
        data = encode_event(event, fields)
        for peer in list(self.peers):
            if peer.wants_events:
                peer.send(data)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        _, uid = peer_of(sock)
        if uid != os.geteuid():
            complain(f"user {uid} may not speak to the monitor")
            sock.close()
            return
        self.peers.append(Peer(self._reactor, sock, self._handle, self._gone))

    def _gone(self, peer: Peer) -> None:
        self.peers.remove(peer)
        self._peer_gone(peer)
