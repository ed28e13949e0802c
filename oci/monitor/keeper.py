"""The keeper: a process that holds what the monitor holds, so that monitor and daemon may die at once.

    <directory>/keeper.sock   SOCK_SEQPACKET, 0600, root's alone; the next monitor finds it there

It knows nothing of what it holds: values are bytes under keys, with descriptors. A message has a verb, a key
and a value, with a NUL between them, and descriptors beside it:

    put     hold value and descriptors, in place of what the key had
    set     another value; the descriptors stay
    drop    release it; an unknown key is fine
    take    replied by all that is held: a ``held`` for each, with its descriptors, then an ``end``

Nothing else is replied, but ``refused`` with the reason as its value, where it cannot hold something. It ends
when it holds nothing and no monitor is connected, and by SIGTERM when no monitor is.
"""

import contextlib
import os
import signal
import socket
from typing import NamedTuple, NoReturn

from host.fds import MessageTruncated, close_all, receive_message, send_message
from host.local_sockets import peer_of
from oci.monitor.reactor import READ, Reactor, complain

SOCKET = "keeper.sock"
MESSAGE_LIMIT = 128 * 1024
OBJECTS_MAX = 32_768
_LAST_WORDS = 10_000  # more than a socket holds, and an end with one that goes on
_PATIENCE_S = 5.0  # for who asked for everything to read it

PUT, SET, DROP, TAKE = "put", "set", "drop", "take"
HELD, END, REFUSED = "held", "end", "refused"


class Message(NamedTuple):
    """One message, but for its descriptors."""

    verb: str
    key: str = ""
    value: bytes = b""


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return b"\0".join((message.verb.encode(), message.key.encode(), message.value))


def decode(data: bytes) -> Message:
    """Read a message; one without sense has a verb that nobody knows."""
    verb, _, rest = data.partition(b"\0")
    key, _, value = rest.partition(b"\0")
    return Message(verb.decode(errors="replace"), key.decode(errors="replace"), value)


class Store:
    """What is held. Descriptors that are given belong to it."""

    def __init__(self, objects_max: int = OBJECTS_MAX) -> None:
        """Nothing yet."""
        self._held: dict[str, tuple[bytes, list[int]]] = {}
        self._objects_max = objects_max

    def __len__(self) -> int:
        return len(self._held)

    def obey(self, message: Message, descriptors: list[int]) -> str | None:
        """Serve put, set or drop; why not, if it cannot."""
        key, value = message.key, message.value
        before = self._held.get(key)
        if message.verb == PUT:
            if before is None and len(self._held) >= self._objects_max:
                close_all(descriptors)
                return f"{len(self._held)} objects are held already"
            self._held[key] = (value, descriptors)
            descriptors = [] if before is None else before[1]
        elif message.verb == SET and before is not None:
            self._held[key] = (value, before[1])
        elif message.verb == DROP:
            descriptors = [*descriptors, *self._held.pop(key, (b"", []))[1]]
        else:
            close_all(descriptors)
            return f"there is nothing to {message.verb[:20]}"
        close_all(descriptors)
        return None

    def items(self) -> list[tuple[Message, list[int]]]:
        """All of it, as messages with descriptors that stay ours."""
        return [(Message(HELD, key, value), owned) for key, (value, owned) in self._held.items()]


class Keeper:
    """Serves the monitor that forked it, and those that come by the socket."""

    def __init__(self, reactor: Reactor, listener: socket.socket, path: str) -> None:
        """``listener`` listens at ``path``."""
        self._reactor = reactor
        self._store = Store()
        self._listener = listener
        self._path = path
        self._identity = os.stat(path).st_ino
        self._clients: set[socket.socket] = set()
        reactor.watch(listener.fileno(), READ, self._accept)

    def add(self, sock: socket.socket) -> None:
        """Serve a monitor."""
        sock.setblocking(False)
        self._clients.add(sock)
        self._reactor.watch(sock.fileno(), READ, lambda: self._serve(sock))

    def terminate(self) -> None:
        """The machine goes down, it seems: stay only for a monitor."""
        if not self._clients:
            self._end()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        _, uid = peer_of(sock)
        if uid != os.geteuid():
            complain(f"user {uid} may not speak to the keeper")
            sock.close()
            return
        self.add(sock)

    def _serve(self, sock: socket.socket) -> None:
        if sock in self._clients:  # it may have been heard out in this turn
            self._readable(sock)

    def _readable(self, sock: socket.socket) -> bool:
        """Serve one message; whether more may wait."""
        try:
            data, descriptors = receive_message(sock, MESSAGE_LIMIT)
        except BlockingIOError:
            return False
        except MessageTruncated as error:
            self._reply(sock, Message(REFUSED, "", str(error).encode()))
            return False
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._gone(sock)
            return False
        message = decode(data)
        if message.verb == TAKE:
            close_all(descriptors)
            self._hear_out(sock)
            self._give_all(sock)
        elif (why := self._store.obey(message, descriptors)) is not None:
            self._reply(sock, Message(REFUSED, message.key, why.encode()))
        return True

    def _hear_out(self, successor: socket.socket) -> None:
        """Serve what others have said before: the last words of a monitor that is dead are not read yet."""
        for sock in self._clients - {successor}:
            for _ in range(_LAST_WORDS):
                if not self._readable(sock):
                    break

    def _give_all(self, sock: socket.socket) -> None:
        for message, descriptors in self._store.items():
            if not self._reply(sock, message, descriptors):
                return
        self._reply(sock, Message(END))

    def _reply(self, sock: socket.socket, message: Message, descriptors: list[int] | None = None) -> bool:
        """Whether it could be sent; if not, the connection is of no use any more."""
        try:
            sock.settimeout(_PATIENCE_S)
            send_message(sock, encode(message), descriptors or ())
            sock.setblocking(False)
        except OSError:
            self._gone(sock)
            return False
        return True

    def _gone(self, sock: socket.socket) -> None:
        self._clients.discard(sock)
        self._reactor.unwatch(sock.fileno())
        sock.close()
        if not self._clients and not self._store:
            self._end()

    def _end(self) -> NoReturn:
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_ino == self._identity:  # not a successor's
                os.unlink(self._path)
        os._exit(0)


def run(sock: socket.socket, listener: socket.socket, path: str) -> NoReturn:
    """Be the keeper that listens at ``path``, in a process that was forked from the monitor at ``sock``."""
    listener.listen()  # once more: who connects is told our pid from now on, not the monitor's
    reactor = Reactor()
    keeper = Keeper(reactor, listener, path)
    keeper.add(sock)
    signal.signal(signal.SIGTERM, lambda *_: keeper.terminate())
    reactor.run()
    os._exit(0)
