"""The daemon as the streaming process sees it: tokens to ask about, and sessions made on the other side.

A request is answered by its number. What comes with an answer that nobody waits for any more is closed.
"""

import asyncio
import itertools
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from api.errors import Unavailable
from cri.streaming import control
from cri.streaming.backend import (
    AttachRequest,
    ExecRequest,
    PortForwardRequest,
    Stdio,
    StreamRequest,
    Streams,
)
from cri.streaming.control import Json
from cri.streaming.wire import Wire
from host.fds import close_all
from host.pty import set_window_size

logger = logging.getLogger(__name__)

_ROLES: Final = ("stdin", "stdout", "stderr", "tty")
_MOST_DIALS: Final = 32  # of one session at once; the daemon takes twice as many


class DaemonSaid(Unavailable):
    """The daemon refused, in its own words, which are for the client."""


class TooManyConnections(Unavailable):
    """The process has no room for another connection to a pod."""


class Answer:
    """What the daemon said to one request; whoever has it owns the descriptors."""

    def __init__(self, message: Json, descriptors: list[int]) -> None:
        self.message = message
        self.descriptors = descriptors


class Daemon:
    """Requests to the daemon, and what it tells unasked."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        tell: Callable[[Json, list[int]], None],
        lost: Callable[[str], None],
        highest_descriptor: int,
    ) -> None:
        """``tell`` gets what is no answer and no end of a session; it owns the descriptors."""
        self._tell = tell
        self._highest = highest_descriptor
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._grants: dict[int, Grant] = {}
        self._wire = Wire(sock, self._receive, lost, longest_bytes=control.ANSWER_BYTES)

    async def take(self, kind: str, token: str) -> "Grant | None":
        """What a token of ours stands for; None when it was used, has expired or is of another kind.

        Raises:
            DaemonSaid: there is no room for another session.
        """
        answer = await self.ask(lambda rid: control.Take(rid, kind, token))
        number = answer.message.get("session")
        if number is None:
            return None
        grant = Grant(self, number, _request_of(kind, answer.message))
        self._grants[number] = grant
        return grant

    async def ask(self, request: Callable[[int], control.Request]) -> Answer:
        """Send a request made of its number and wait for the answer.

        Raises:
            DaemonSaid: it refused.
        """
        rid = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[rid] = future
        self.say(request(rid))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                close_all(future.result().descriptors)
            raise
        finally:
            self._waiting.pop(rid, None)

    def say(self, request: control.Request) -> None:
        """Send what has no answer."""
        self._wire.send(control.encode_request(request))

    def forget(self, number: int) -> None:
        """The session is over; tell the daemon so elsewhere."""
        self._grants.pop(number, None)

    def room_for(self, descriptor: int) -> bool:
        """Whether connections to pods leave room for clients: descriptors are numbered from below."""
        return descriptor < self._highest

    def _receive(self, data: bytes, descriptors: list[int]) -> None:
        message = control.decode(data)
        if "ok" in message or ("error" in message and "ended" not in message):
            self._answer(message, descriptors)
        elif "ended" in message:
            close_all(descriptors)
            grant = self._grants.get(message["ended"])
            if grant is not None:
                grant.ended(message)
        else:
            self._tell(message, descriptors)

    def _answer(self, message: Json, descriptors: list[int]) -> None:
        future = self._waiting.get(message["ok"] if "ok" in message else message["error"])
        if future is None or future.done():
            close_all(descriptors)
        elif "ok" in message:
            future.set_result(Answer(message, descriptors))
        else:
            close_all(descriptors)
            future.set_exception(DaemonSaid(str(message.get("message"))))


class Grant:
    """One session that a token stood for; implements Backend for it."""

    def __init__(self, daemon: Daemon, number: int, request: StreamRequest) -> None:
        self.request = request
        self._daemon = daemon
        self._number = number
        self._open = True
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._dialling = asyncio.Semaphore(_MOST_DIALS)

    def close(self, *, kill: bool = False) -> None:
        """Let the daemon know that it is over. Idempotent."""
        if self._open:
            self._open = False
            self._daemon.forget(self._number)
            self._daemon.say(control.Close(self._number, kill))

    def ended(self, message: Json) -> None:
        """The daemon has seen the end of the process."""
        if self._ended.done():
            return
        if "error" in message:
            self._ended.set_exception(DaemonSaid(str(message["error"])))
            self._ended.exception()  # may be asked for by nobody
        else:
            self._ended.set_result(message["code"])

    async def exec(self, request: ExecRequest) -> "RemoteSession":
        """Start the command (DaemonSaid when it cannot be)."""
        return await self._start()

    async def attach(self, request: AttachRequest) -> "RemoteSession":
        """Join the container (DaemonSaid when it cannot be)."""
        return await self._start()

    async def _start(self) -> "RemoteSession":
        answer = await self._daemon.ask(lambda rid: control.Start(rid, self._number))
        stdio = dict(zip(answer.message["stdio"], answer.descriptors, strict=True))
        return RemoteSession(self, Stdio(**{role: stdio.get(role) for role in _ROLES}))

    async def dial(self, sandbox_id: str, port: int) -> socket.socket:
        """Connect to the pod.

        Raises:
            DaemonSaid: it cannot be reached. TooManyConnections: see there.
        """
        async with self._dialling:
            answer = await self._daemon.ask(lambda rid: control.Dial(rid, self._number, port))
        (descriptor,) = answer.descriptors
        if not self._daemon.room_for(descriptor):
            os.close(descriptor)
            raise TooManyConnections("too many connections are forwarded on this node; try again later")
        pod = socket.socket(fileno=descriptor)
        pod.setblocking(False)
        return pod

    async def wait(self) -> int:
        """The exit code once there is one."""
        return await asyncio.shield(self._ended)

    async def resize(self, width: int, height: int) -> None:
        """Have the terminal's size set."""
        await self._daemon.ask(lambda rid: control.Resize(rid, self._number, width, height))

    def input_ended(self) -> None:
        """Say that the client's input is over."""
        if self._open:
            self._daemon.say(control.InputEnded(self._number))


class RemoteSession:
    """A process on the other side; implements Session."""

    def __init__(self, grant: Grant, stdio: Stdio) -> None:
        self._grant = grant
        self.stdio = stdio

    async def wait(self) -> int:
        """The exit code, once the process has ended (DaemonSaid when it was lost)."""
        return await self._grant.wait()

    async def resize(self, width: int, height: int) -> None:
        """By our own descriptor where there is one."""
        if self.stdio.tty is not None:
            set_window_size(self.stdio.tty, width, height)
        else:
            await self._grant.resize(width, height)

    async def input_ended(self) -> None:
        """Tell the daemon."""
        self._grant.input_ended()

    async def close(self, *, kill: bool) -> None:
        """Tell the daemon."""
        self._grant.close(kill=kill)


def _request_of(kind: str, message: Json) -> StreamRequest:
    """What of the request concerns us: the daemon keeps ids and command to itself."""
    if kind == "portforward":
        return PortForwardRequest("", tuple(message["ports"]))
    streams = Streams(**_booleans(message["streams"]))
    return ExecRequest("", (), streams) if kind == "exec" else AttachRequest("", streams)


def _booleans(values: dict[str, Any]) -> dict[str, bool]:
    return {name: bool(value) for name, value in values.items()}
