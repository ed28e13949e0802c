"""What the daemon does for one streaming process: tokens become sessions, sessions get processes and sockets.

    take ──▶ granted ──start──▶ starting ──▶ started ──close, or the process is lost──▶ gone
                     ──dial──▶ (as often as it likes, MOST_DIALS at once)

Bytes of containers do not come here: the answer to ``start`` and ``dial`` are descriptors. Whatever the
process says is taken as hostile. What names no session ends nothing but itself; a session that is asked for
what it cannot do ends; a message that makes no sense ends the process.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from api.errors import PodwrightError
from cri.streaming import control
from cri.streaming.backend import (
    AttachRequest,
    Backend,
    ExecRequest,
    PortForwardRequest,
    Session,
    StreamRequest,
)
from cri.streaming.control import BadMessage, Json
from cri.streaming.descriptors import prepare
from cri.streaming.wire import Wire

logger = logging.getLogger(__name__)

MOST_SESSIONS: Final = 4096
MOST_DIALS: Final = 64

KINDS: Final[dict[str, type[StreamRequest]]] = {
    "exec": ExecRequest,
    "attach": AttachRequest,
    "portforward": PortForwardRequest,
}


@dataclass(slots=True)
class _Entry:
    """One session of the process's."""

    number: int
    request: StreamRequest
    starting: bool = False
    session: Session | None = None
    watching: asyncio.Task[None] | None = None
    dials: int = 0
    resizing: bool = False
    gone: bool = False
    waiting: set[asyncio.Task[None]] = field(default_factory=set)


class Service:
    """Serves one process until it is lost; then all of its sessions are let go."""

    def __init__(
        self,
        sock: socket.socket,
        backend: Backend,
        take: Callable[[str], StreamRequest | None],
        *,
        ready: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        """``take`` uses a token up; ``lost`` is told once why the process is no longer served."""
        self._backend = backend
        self._take = take
        self._ready = ready
        self._lost = lost
        self._entries: dict[int, _Entry] = {}
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._wire = Wire(sock, self._receive, self._on_lost, longest_bytes=control.REQUEST_BYTES)

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self._entries)

    def send(self, message: Json, descriptors: list[int] | None = None) -> None:
        """Say something to the process; the descriptors are taken over."""
        self._wire.send(control.encode(message), descriptors or [])

    async def close(self) -> None:
        """Stop serving, and let every session go; returns when they are."""
        self._wire.close()
        self._drop_all()
        while self._tasks:
            await asyncio.wait(self._tasks)

    # ---- the process speaks

    def _on_lost(self, reason: str) -> None:
        self._drop_all()
        self._lost(reason)

    def _receive(self, data: bytes, descriptors: list[int]) -> None:
        try:
            if descriptors:
                for descriptor in descriptors:
                    os.close(descriptor)
                raise BadMessage("descriptors that nobody asked for")
            self._dispatch(control.decode_request(data))
        except BadMessage as error:
            logger.error("the streaming process says what makes no sense, and is ended error=%s", error)
            self._wire.fail(str(error))

    def _dispatch(self, request: control.Request) -> None:
        match request:
            case control.Ready():
                self._ready()
            case control.Take():
                self._grant(request)
            case control.Start(rid, number):
                self._start(rid, self._entries.get(number))
            case control.Dial(rid, number, port):
                self._dial(rid, self._entries.get(number), port)
            case control.Resize(rid, number, width, height):
                self._resize(rid, self._entries.get(number), width, height)
            case control.InputEnded(number):
                self._end_input(self._entries.get(number))
            case control.Close(number, kill):
                self._drop(number, kill=kill)

    def _grant(self, asked: control.Take) -> None:
        if len(self._entries) >= MOST_SESSIONS:
            self._refuse(asked.rid, "as many streaming sessions as there may be are open; try again later")
            return
        request = self._take(asked.token)  # used up, also by the wrong kind
        if request is None or KINDS.get(asked.kind) is not type(request):
            self.send({"ok": asked.rid})
            return
        self._last += 1
        self._entries[self._last] = _Entry(self._last, request)
        self.send({"ok": asked.rid, "session": self._last, **_terms(request)})

    def _refuse(self, rid: int, message: str) -> None:
        self.send({"error": rid, "message": message[: control.LONGEST_TEXT]})

    def _cannot(self, rid: int, entry: _Entry | None) -> None:
        """A request that its session cannot have made; the session ends by it."""
        if entry is not None:
            self._drop(entry.number, kill=False)
        self._refuse(rid, "there is no such streaming session")

    # ---- exec and attach

    def _start(self, rid: int, entry: _Entry | None) -> None:
        if entry is None or entry.starting or isinstance(entry.request, PortForwardRequest):
            self._cannot(rid, entry)
            return
        entry.starting = True
        self._spawn(self._begin(rid, entry, entry.request))

    async def _begin(self, rid: int, entry: _Entry, request: ExecRequest | AttachRequest) -> None:
        try:
            if isinstance(request, AttachRequest):
                entry.session = await self._backend.attach(request)
            else:
                entry.session = await self._backend.exec(request)
        except PodwrightError as error:
            self._refuse(rid, str(error))
            return
        except Exception as error:
            logger.exception("starting a streamed process failed")
            self._refuse(rid, f"the process could not be started: {error}")
            return
        self._hand_over(rid, entry, entry.session)
        if entry.gone:  # given up by its client while it started
            await entry.session.close(kill=False)
        else:
            entry.watching = self._spawn(self._watch(entry.number, entry.session))

    def _hand_over(self, rid: int, entry: _Entry, session: Session) -> None:
        stdio = session.stdio
        names = [name for name in ("stdin", "stdout", "stderr", "tty") if getattr(stdio, name) is not None]
        for descriptor in stdio.all():
            prepare(descriptor)  # here, as the process's pipes could not be widened beyond a user's limit
        self.send({"ok": rid, "stdio": names}, stdio.all())

    async def _watch(self, number: int, session: Session) -> None:
        try:
            self.send({"ended": number, "code": await session.wait()})
        except PodwrightError as error:
            self.send({"ended": number, "error": str(error)[: control.LONGEST_TEXT]})
        except Exception as error:
            logger.exception("waiting for a streamed process failed")
            self.send({"ended": number, "error": f"the process was lost: {error}"[: control.LONGEST_TEXT]})

    def _resize(self, rid: int, entry: _Entry | None, width: int, height: int) -> None:
        if entry is None or entry.session is None or entry.resizing:
            self._cannot(rid, entry)
            return
        entry.resizing = True
        self._spawn(self._set_size(rid, entry, entry.session, width, height))

    async def _set_size(self, rid: int, entry: _Entry, session: Session, width: int, height: int) -> None:
        try:
            await session.resize(width, height)
        except (PodwrightError, OSError) as error:
            self._refuse(rid, str(error))
        else:
            self.send({"ok": rid})
        finally:
            entry.resizing = False

    def _end_input(self, entry: _Entry | None) -> None:
        if entry is not None and entry.session is not None:
            self._spawn(self._tell_end(entry.session))

    async def _tell_end(self, session: Session) -> None:
        try:
            await session.input_ended()
        except (PodwrightError, OSError) as error:
            logger.debug("the end of a client's input could not be told error=%s", error)

    # ---- port-forward

    def _dial(self, rid: int, entry: _Entry | None, port: int) -> None:
        request = entry.request if entry is not None else None
        if entry is None or not isinstance(request, PortForwardRequest) or entry.dials >= MOST_DIALS:
            self._cannot(rid, entry)
            return
        entry.dials += 1
        task = self._spawn(self._connect(rid, entry, request.sandbox_id, port))
        entry.waiting.add(task)
        task.add_done_callback(entry.waiting.discard)

    async def _connect(self, rid: int, entry: _Entry, sandbox_id: str, port: int) -> None:
        try:
            pod = await self._backend.dial(sandbox_id, port)
        except (PodwrightError, OSError) as error:
            self._refuse(rid, str(error))
        except Exception as error:
            logger.exception("connecting to a pod failed")
            self._refuse(rid, f"the pod could not be reached: {error}")
        else:
            self.send({"ok": rid}, [pod.detach()])
        finally:
            entry.dials -= 1

    # ---- the end

    def _drop(self, number: int, *, kill: bool) -> None:
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        entry.gone = True
        for task in entry.waiting:
            task.cancel()
        if entry.watching is not None:
            entry.watching.cancel()
        if entry.watching is not None and entry.session is not None:
            self._spawn(self._let_go(entry.session, kill=kill))

    async def _let_go(self, session: Session, *, kill: bool) -> None:
        try:
            await session.close(kill=kill)
        except (PodwrightError, OSError) as error:
            logger.warning("a streaming session was not closed well error=%s", error)

    def _drop_all(self) -> None:
        for number in list(self._entries):
            self._drop(number, kill=False)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="streaming-service")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _terms(request: StreamRequest) -> Json:
    """What the process must know of a request to speak with its client."""
    if isinstance(request, PortForwardRequest):
        return {"ports": list(request.ports)}
    streams = request.streams
    return {
        "streams": {
            "stdin": streams.stdin,
            "stdout": streams.stdout,
            "stderr": streams.stderr,
            "tty": streams.tty,
        }
    }
