"""The client's half of a remote command, exec or attach, from its first stream to its status.

    streams opened ──▶ process started ──▶ copying ──▶ exit and last output ──▶ status ──▶ linger
    the client leaves at any time: descriptors closed, the process let go

Output is read only while the client takes it, and input only while the process does, so what is held
is one buffer each way. All output goes out before the status.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from api.errors import PodwrightError
from cri.streaming.backend import Session
from cri.streaming.inflow import Inflow
from cri.streaming.link import ByteLink
from cri.streaming.process_side import ProcessSide
from cri.streaming.remotecommand import (
    ClientLeft,
    CommandProtocol,
    Event,
    OutputRefused,
    Ready,
    Resized,
    StdinEnded,
    StdinReceived,
)
from cri.streaming.resize import Size
from cri.streaming.status import Failed, Outcome
from cri.streaming.timeouts import Timeouts

logger = logging.getLogger(__name__)


class ClientGone(Exception):
    """The client left, or never came up to its request, before the status."""


class CommandSession:
    """Runs one remote command."""

    def __init__(
        self,
        link: ByteLink,
        protocol: CommandProtocol,
        start: Callable[[], Awaitable[Session]],
        timeouts: Timeouts,
        *,
        attached: bool = False,
    ) -> None:
        self._link = link
        self._protocol = protocol
        self._start = start
        self._timeouts = timeouts
        self._attached = attached
        self._stdin = Inflow(link.piece_bytes)
        self._ready = asyncio.Event()
        self._size: Size | None = None
        self._resized = asyncio.Event()
        self._starting: asyncio.Future[ProcessSide] | None = None
        self._side: ProcessSide | None = None
        self._finished = False

    async def run(self) -> None:
        """Return when the client has its status or has left; the process's descriptors are closed then."""
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                resizer = group.create_task(self._follow_size())
                await self._converse()
                # Reading goes on: closing with unread bytes would reset what the client has not read yet.
                await asyncio.wait([reader], timeout=self._timeouts.linger_s)
                reader.cancel()
                resizer.cancel()
        except* ClientGone as gone:
            logger.debug("streaming client is gone reason=%r", str(gone.exceptions[0]))
        finally:
            await self._let_go()

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.stream_creation_s):
                await self._ready.wait()
        except TimeoutError:
            raise ClientGone("did not open its streams in time") from None
        outcome = await self._process()
        self._finished = True
        self._stdin.discard()
        self._link.write(self._protocol.finish(outcome))
        await self._link.flush()
        self._link.end()

    # ---- the process

    async def _process(self) -> Outcome:
        # A start that its client has given up runs to its end; _let_go waits for it and closes it.
        self._starting = asyncio.ensure_future(self._begin())
        try:
            self._side = await asyncio.shield(self._starting)
        except PodwrightError as error:
            return Failed(str(error))
        except Exception as error:
            logger.exception("starting a streamed process failed")
            return Failed(f"the process could not be started: {error}")
        if self._size is not None:
            self._resized.set()
        return await (self._side.run_attached if self._attached else self._side.run)(self._stdin)

    async def _begin(self) -> ProcessSide:
        session = await self._start()
        return ProcessSide(session, self._link, self._protocol.send_output, self._timeouts.quiet_after_exit_s)

    async def _let_go(self) -> None:
        if self._starting is None:
            return
        await asyncio.wait([self._starting])
        if self._starting.cancelled() or self._starting.exception() is not None:
            return  # the client was told, or is not there to be
        await self._starting.result().close()

    async def _follow_size(self) -> None:
        """Only the latest size counts; one that came before the process waits for it."""
        while True:
            await self._resized.wait()
            self._resized.clear()
            if self._side is not None and self._size is not None:
                await self._side.resize(self._size)

    # ---- the client

    async def _read(self) -> None:
        data = b""
        while True:
            for event in self._protocol.receive(data):
                if isinstance(event, ClientLeft):
                    self._answer()
                    self._gone(event.reason)
                    return
                await self._handle(event)
            self._answer()
            await self._link.drain()
            if self._protocol.unread:
                await asyncio.sleep(0)
                data = b""
                continue
            data = await self._link.read()
            if not data:
                self._gone("closed the connection")
                return

    async def _handle(self, event: Event) -> None:
        match event:
            case StdinReceived(data):
                self._stdin.limit_bytes = self._link.piece_bytes
                self._stdin.put(data)
                await self._wait_for_room()
            case StdinEnded():
                self._stdin.end()
            case Resized(size):
                self._size = size
                self._resized.set()
            case Ready():
                self._ready.set()
            case OutputRefused(channel):
                if self._side is not None:
                    self._side.refuse(channel)

    async def _wait_for_room(self) -> None:
        """Hold the client back; whether it leaves meanwhile must be asked for, as nothing is read."""
        self._answer()
        while self._stdin.full:
            if self._link.peer_has_closed():
                self._gone("closed the connection with input unread")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.departure_check_s):
                    await self._stdin.room()

    def _answer(self) -> None:
        self._link.write(self._protocol.data_to_send())

    def _gone(self, reason: str) -> None:
        """Before the status this ends the session, afterwards it is what is waited for."""
        if not self._finished:
            raise ClientGone(reason)
