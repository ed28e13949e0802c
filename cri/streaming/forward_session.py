"""Port-forward: many TCP connections into one pod over one client connection.

    Requested ──dial──▶ copying both ways ──▶ client ended: shutdown the pod's socket
                                          ──▶ pod ended: end the client's streams
    both ended: finished        any failure: told on that connection's error stream, the others go on

Without flow control per stream, one connection that takes nothing holds back the whole client. It may
do so for ``stall_s`` when others wait beside it, then it alone is given up.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from api.errors import PodwrightError
from cri.streaming.descriptors import read_some, write_all
from cri.streaming.inflow import Inflow
from cri.streaming.link import BUFFER_BYTES, ByteLink, linger
from cri.streaming.portforward import Aborted, Ended, Event, ForwardProtocol, Left, Received, Requested
from cri.streaming.timeouts import Timeouts

logger = logging.getLogger(__name__)


# Shared by the connections of one client: the more there are, the less each may hold.
_ALL_BUFFERS_BYTES: Final = 8 * 1024 * 1024
_LEAST_PIECE_BYTES: Final = 4096


def _inflow() -> Inflow:
    return Inflow(BUFFER_BYTES)


@dataclass(slots=True)
class _Forward:
    """One forwarded connection: what the client sent and the task that copies."""

    inflow: Inflow = field(default_factory=_inflow)
    task: asyncio.Task[None] | None = None


class ForwardSession:
    """Runs one client's port-forward."""

    def __init__(
        self,
        link: ByteLink,
        protocol: ForwardProtocol,
        dial: Callable[[int], Awaitable[socket.socket]],
        timeouts: Timeouts,
    ) -> None:
        self._link = link
        self._protocol = protocol
        self._dial = dial
        self._timeouts = timeouts
        self._forwards: dict[str, _Forward] = {}

    async def run(self) -> None:
        """Return when the client has closed; no socket of the pod's is left open."""
        async with asyncio.TaskGroup() as group:
            doorman = group.create_task(self._fail_incomplete())
            await self._read(group)
            doorman.cancel()
            for forward in self._forwards.values():
                if forward.task is not None:
                    forward.task.cancel()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        data = b""
        while True:
            for event in self._protocol.receive(data):
                if isinstance(event, Left):
                    await self._part(event.reason)
                    return
                await self._handle(event, group)
            self._link.write(self._protocol.data_to_send())
            await self._link.drain()
            if self._protocol.unread:
                await asyncio.sleep(0)
                data = b""
                continue
            data = await self._link.read()
            if not data:
                return

    async def _part(self, reason: str) -> None:
        logger.debug("port-forward client left reason=%r", reason)
        self._link.write(self._protocol.data_to_send())
        await self._link.flush()
        self._link.end()
        await linger(self._link, self._timeouts.linger_s)

    async def _handle(self, event: Event, group: asyncio.TaskGroup) -> None:
        match event:
            case Requested(key, port):
                forward = self._forwards.setdefault(key, _Forward())
                forward.task = group.create_task(self._forward(key, port, forward))
            case Received(key, data):
                inflow = self._forwards.setdefault(key, _Forward()).inflow
                inflow.limit_bytes = self._piece_bytes()
                inflow.put(data)
                await self._wait_for_room(key, inflow)
            case Ended(key):
                self._forwards.setdefault(key, _Forward()).inflow.end()
            case Aborted(key):
                self._drop(key, "")

    def _piece_bytes(self) -> int:
        """What one connection may hold for a direction: all of them share what one alone would have."""
        fair = _ALL_BUFFERS_BYTES // max(1, len(self._forwards))
        return min(self._link.piece_bytes, max(_LEAST_PIECE_BYTES, fair))

    async def _wait_for_room(self, key: str, inflow: Inflow) -> None:
        waited_s = 0.0
        while inflow.full:
            self._link.write(self._protocol.data_to_send())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.departure_check_s):
                    await inflow.room()
                    return
            waited_s += self._timeouts.departure_check_s
            gone = self._link.peer_has_closed()
            if gone or (waited_s >= self._timeouts.stall_s and len(self._forwards) > 1):
                self._drop(key, "the pod takes no data on this connection while others wait")

    def _drop(self, key: str, message: str) -> None:
        """Give one connection up; with a message, the client is told."""
        forward = self._forwards.pop(key, None)
        if forward is None:
            return
        forward.inflow.discard()
        self._link.write(self._protocol.fail(key, message) if message else self._protocol.finish(key))
        if forward.task is not None:
            forward.task.cancel()

    async def _fail_incomplete(self) -> None:
        """A connection of which only one stream came within a whole period is failed."""
        seen: frozenset[str] = frozenset()
        while True:
            await asyncio.sleep(self._timeouts.stream_creation_s)
            for key in seen & self._protocol.incomplete():
                self._forwards.setdefault(key, _Forward())
                self._drop(key, "the second stream of this connection did not come in time")
            seen = self._protocol.incomplete()

    # ---- one connection

    async def _forward(self, key: str, port: int, forward: _Forward) -> None:
        try:
            pod = await self._dial(port)
            with pod:
                await self._copy(key, pod, forward.inflow)
            self._link.write(self._protocol.finish(key))
        except (PodwrightError, OSError) as error:
            logger.debug("port-forward connection failed port=%d error=%s", port, error)
            self._link.write(self._protocol.fail(key, f"error forwarding port {port}: {error}"))
        finally:
            forward.inflow.discard()
            if self._forwards.get(key) is forward:  # a dropped one may have a successor of the same name
                del self._forwards[key]
        await self._link.drain()

    async def _copy(self, key: str, pod: socket.socket, inflow: Inflow) -> None:
        outward = asyncio.ensure_future(self._from_pod(key, pod, inflow))
        inward = asyncio.ensure_future(_to_pod(pod, inflow))
        try:
            await asyncio.gather(outward, inward)
        finally:
            for task in (outward, inward):
                task.cancel()
            await asyncio.gather(outward, inward, return_exceptions=True)

    async def _from_pod(self, key: str, pod: socket.socket, inflow: Inflow) -> None:
        while data := await read_some(pod.fileno(), self._piece_bytes()):
            self._link.write(self._protocol.send(key, data))
            await self._link.drain()
        self._link.write(self._protocol.end(key))
        if not self._protocol.half_closes:
            inflow.end()


async def _to_pod(pod: socket.socket, inflow: Inflow) -> None:
    while data := await inflow.take():
        await write_all(pod.fileno(), data)
    with suppress(OSError):  # the pod may have closed already
        pod.shutdown(socket.SHUT_WR)
