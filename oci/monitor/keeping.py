"""What the monitor gives the keeper (oci/monitor/keeper.py), and what it gets from one at its start.

Every object that would be lost with monitor and daemon is put there under a key before anybody is told of it,
and dropped when its end is on record. A keeper is forked with the first of them. One that dies is replaced,
and so is one that takes nothing for HUNG_S; the next is given everything, of which we and the daemon have
descriptors, too. Without a keeper all goes on as ever.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from host.fds import Descriptor, close_all, receive_message, send_message
from host.local_sockets import dial, listen, peer_of
from oci.monitor import keeper
from oci.monitor.forked import KEEPER, fork
from oci.monitor.keeper import DROP, END, HELD, MESSAGE_LIMIT, PUT, SET, TAKE, Message, decode, encode
from oci.monitor.outgoing import Outgoing
from oci.monitor.reactor import READ, WRITE, Reactor, Timer, complain

HUNG_S = 10.0
_TAKE_S = 5.0  # for a keeper to give the next message of all that it holds
_PARTING_S = 1.0
_AGAIN_S = 1.0  # before the next one is started, when some have died …
_EARLY_S = 1.0  # … so soon after their start …
_EARLY_DEATHS = 3  # … in a row
_REFUSALS = 3  # that are complained of, for each keeper


class Kept(NamedTuple):
    """One object as a keeper held it; the descriptors are the receiver's."""

    key: str
    value: bytes
    descriptors: list[int]


# Gives value and descriptors of an object as they are now; the descriptors stay its own.
Source = Callable[[], tuple[bytes, Sequence[int]]]


class _Object:
    """An object that is put, and the descriptors that the keeper has of it."""

    __slots__ = ("sent", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.sent: tuple[int, ...] | None = None


class Keeping:
    """The keeper as the monitor sees it, whichever process it is at the time."""

    def __init__(self, reactor: Reactor, directory: str) -> None:
        """For the monitor of ``directory``; a keeper is met by :meth:`take`, or made when needed."""
        self._reactor = reactor
        self._directory = directory
        self._objects: dict[str, _Object] = {}
        self._sock: socket.socket | None = None
        self._process: Descriptor | None = None
        self._queue = Outgoing()
        self._hung: Timer | None = None
        self._again: Timer | None = None
        self._started = 0.0
        self._early_deaths = 0
        self._refusals = 0
        self._closed = False

    # --- objects ----------------------------------------------------------------------------------

    def put(self, key: str, source: Source) -> None:
        """Have an object held, in place of what is held under its key."""
        self._objects[key] = _Object(source)
        self.changed(key)

    def changed(self, key: str) -> None:
        """Tell of an object's new value or other descriptors; an unknown one is fine."""
        found = self._objects.get(key)
        if found is not None and self._is_there():
            self._send(key, found)

    def leave(self, key: str) -> None:
        """It has ended, and its descriptors are closed, but that is not on record yet: a keeper holds it as
        it is until :meth:`drop`."""
        self._objects.pop(key, None)

    def drop(self, key: str) -> None:
        """It has ended, and that is on record. Idempotent."""
        self._objects.pop(key, None)
        self._post(encode(Message(DROP, key)), [])

    def _send(self, key: str, what: _Object) -> None:
        value, descriptors = what.source()
        numbers = tuple(descriptors)
        if numbers == what.sent:
            self._post(encode(Message(SET, key, value)), [])
        else:
            self._post(encode(Message(PUT, key, value)), numbers)
            what.sent = numbers

    def _post(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send at once: a message that the kernel has outlives us. Or when the keeper reads."""
        sock = self._sock
        if sock is None:
            return
        if not self._queue:
            try:
                send_message(sock, data, descriptors)
                return
            except BlockingIOError:
                self._reactor.watch(sock.fileno(), READ | WRITE, self._ready)
                self._hung = self._reactor.later(HUNG_S, self._give_up)
            except OSError:
                return  # it is dead: _readable() comes
        self._queue.add(data, descriptors)

    def _ready(self) -> None:
        """It may take more of what waits."""
        if self._sock is None:
            return
        before = len(self._queue)
        try:
            has_all = self._queue.flush(self._sock)
        except OSError:
            has_all = True  # it is dead: _readable() finds that
        if len(self._queue) < before:
            self._not_hung()
        if not has_all:
            self._hung = self._hung or self._reactor.later(HUNG_S, self._give_up)
            return
        self._reactor.watch(self._sock.fileno(), READ, self._readable)
        self._readable()

    def _not_hung(self) -> None:
        if self._hung is not None:
            self._hung.cancel()
            self._hung = None

    # --- the process ------------------------------------------------------------------------------

    def take(self) -> list[Kept]:
        """All that a keeper holds, which a dead monitor has left; it is ours from now on. Nothing, where
        there is none, or one that does not answer: that is ended."""
        try:
            sock = dial(f"{self._directory}/{keeper.SOCKET}")
        except OSError:
            return []
        self._meet(sock, peer_of(sock)[0], _is_keeper)
        kept: list[Kept] = []
        try:
            sock.settimeout(_TAKE_S)
            send_message(sock, encode(Message(TAKE)))
            while True:
                data, descriptors = receive_message(sock, MESSAGE_LIMIT)
                message = decode(data)
                if message.verb != HELD:
                    close_all(descriptors)
                    break
                kept.append(Kept(message.key, message.value, descriptors))
        except OSError as error:
            message = Message(str(error))
        if message.verb != END:
            complain(f"the keeper does not give what it holds, and is ended: {message.verb or 'it died'}")
            self._kill()
            self._let_go()
            return kept
        sock.setblocking(False)
        self._reactor.watch(sock.fileno(), READ, self._readable)
        return kept

    def meet(self) -> None:
        """Go on with the keeper of the image that we were, if there is one."""
        try:
            sock = dial(f"{self._directory}/{keeper.SOCKET}")
        except OSError:
            return
        self._meet(sock, peer_of(sock)[0], _is_keeper)
        sock.setblocking(False)
        self._reactor.watch(sock.fileno(), READ, self._readable)

    @property
    def has_all(self) -> bool:
        """Whether everything is on its way to the keeper."""
        return not self._queue

    def objects(self) -> list[Kept]:
        """Everything that is kept now; the descriptors stay their owners'."""
        return [
            Kept(key, value, list(owned))
            for key, one in self._objects.items()
            for value, owned in [one.source()]
        ]

    def taken(self, key: str, source: Source) -> None:
        """An object of :meth:`take` lives on with us, with all its descriptors."""
        self._objects[key] = known = _Object(source)
        known.sent = tuple(source()[1])
        self._is_there()  # if that keeper has died since, the next one gets it

    def refuse(self, kept: Kept) -> None:
        """An object of :meth:`take` is of no use."""
        close_all(kept.descriptors)
        self._post(encode(Message(DROP, kept.key)), [])

    def _is_there(self) -> bool:
        """Have a keeper, unless none may be started now; whoever is started is given everything."""
        if self._sock is None and self._again is None and not self._closed:
            self._start()
            return False  # it has been told already
        return self._sock is not None

    def _start(self) -> None:
        self._again = None
        if self._closed:
            return
        self._started = time.monotonic()
        path = f"{self._directory}/{keeper.SOCKET}"
        try:
            with listen(path) as listener:  # before the fork: a keeper that has anything can be found
                pid, sock = fork(
                    self._directory,
                    lambda its: keeper.run(its, listener, path),
                    listener.fileno(),
                    name=KEEPER,
                    outlives=True,
                )
        except OSError as error:
            complain(f"no keeper can be started: {error.strerror}")
            self._again = self._reactor.later(_AGAIN_S, self._start)
            return
        self._meet(sock, pid, lambda _: True)
        self._reactor.watch(sock.fileno(), READ, self._readable)
        for key, each in list(self._objects.items()):
            self._send(key, each)

    def _meet(self, sock: socket.socket, pid: int, is_it: Callable[[int], bool]) -> None:
        self._sock = sock
        self._refusals = 0
        with contextlib.suppress(OSError):  # it has ended already
            process = Descriptor(os.pidfd_open(pid))
            if is_it(pid):
                self._process = process
            else:
                process.close()

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data, descriptors = receive_message(self._sock, MESSAGE_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        close_all(descriptors)
        if data:
            self._refused(decode(data))
        else:
            self._died()

    def _refused(self, message: Message) -> None:
        self._refusals += 1
        if self._refusals <= _REFUSALS:
            complain(f"the keeper does not hold {message.key}: {message.value.decode(errors='replace')}")

    def _died(self) -> None:
        self._let_go()
        if self._closed:
            return
        complain("the keeper is gone: another is started")
        self._early_deaths = self._early_deaths + 1 if time.monotonic() - self._started < _EARLY_S else 0
        if self._early_deaths >= _EARLY_DEATHS:
            self._again = self._reactor.later(_AGAIN_S, self._start)
        elif self._objects:
            self._start()

    def _give_up(self) -> None:
        complain(f"the keeper has taken nothing for {HUNG_S:g} s, and is ended")
        self._kill()
        self._died()

    def _kill(self) -> None:
        if self._process is not None and self._process.is_open:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._process.number, signal.SIGKILL)

    def _let_go(self) -> None:
        self._not_hung()
        if self._sock is not None:
            self._reactor.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
        if self._process is not None:
            self._process.close()
            self._process = None
        self._queue.clear()
        for each in self._objects.values():
            each.sent = None

    def close(self) -> None:
        """The monitor ends, with nothing to keep: so does the keeper."""
        self._closed = True
        process, self._process = self._process, None
        self._let_go()
        if process is not None:
            poll = select.poll()
            poll.register(process.number, select.POLLIN)
            poll.poll(_PARTING_S * 1000)
            process.close()


def _is_keeper(pid: int) -> bool:
    """Whether that process may be ended as a keeper: its socket was made by the monitor that forked it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().startswith(KEEPER.encode())
    except OSError:
        return False
