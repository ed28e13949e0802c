"""The daemon's connection to the monitor, over the deaths of monitors: requests, recovery, hand-over.

    connected ──lost──▶ recovering: start another, hand over, read its records ──▶ connected
                          ▲    │
                          └────┘ whatever fails, with growing pauses

A connection that is lost during its own recovery fails that attempt, and nothing else. A monitor that does
not live for STABLE_S counts as a failure too, so that one that dies over and over costs one start in a while.
Whoever asks meanwhile waits, but for no longer than a request may take.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from host.processes import exited
from oci.monitor import launch, protocol, release
from oci.monitor.connection import Connection, OnBegun, Reply
from oci.monitor.protocol import Json, ProtocolError, Record
from oci.monitor.types import MonitorFailed, MonitorLost, MonitorUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
House = Callable[[int], Awaitable[None]]
STABLE_S = 5.0
_RESTART_DELAY_S = (0.0, 0.05, 0.2, 1.0, 2.0)
_UPGRADE = "upgrade"
_QUIET_S = 10.0  # for a moment in which a monitor can be replaced
_ENDED_POLL_S = 0.005
_ENDING_S = 1.0  # between the loss of a monitor's connection and the end of its process


class Link:
    """See above. ``hand_over`` gives a new monitor what lives, ``lost`` is told of each loss."""

    def __init__(
        self,
        directory: Path,
        timeout_s: float,
        house: House,
        on_event: Callable[[Json], None],
        lost: Callable[[], None],
        hand_over: Callable[[Connection], Awaitable[None]],
    ) -> None:
        """Prepare for ``directory``; ``house`` gets the pid of each monitor that is met."""
        self.pid = 0
        self.is_dated = False  # the monitor is of before there were upgrades
        self.timeout_s = timeout_s
        self._directory = directory
        self._release = release.identity()
        self._house = house
        self._on_event = on_event
        self._on_lost = lost
        self._hand_over = hand_over
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._recovery: asyncio.Task[None] | None = None
        self._started_pid: int | None = None
        self._failures = 0
        self._since = 0.0
        self._is_closed = False

    @property
    def is_first(self) -> bool:
        """Whether the monitor was started from here: none was there before it."""
        return self._started_pid is not None

    @property
    def is_connected(self) -> bool:
        """Whether there is a monitor, as far as is known."""
        return self._connected.is_set()

    @property
    def is_closed(self) -> bool:
        """Whether no monitor is wanted any more."""
        return self._is_closed

    async def connect(self, *, start: bool) -> None:
        """Connect for the first time.

        Raises:
            MonitorUnavailable: it cannot be reached or started, or speaks another version; or each that was
                started died at once.
        """
        for pause_s in _RESTART_DELAY_S:
            try:
                self._begin(await self._establish(start=start))
            except MonitorLost as error:
                if not start:
                    raise
                log.error("monitor lost at the first word; starting another error=%s", error)
                await self._reap_ended()
                await asyncio.sleep(pause_s)
            else:
                return
        self._begin(await self._establish(start=start))

    def closing(self, *, yes: bool = True) -> None:
        """The coming loss of the connection is wanted; or no longer."""
        self._is_closed = yes

    async def close(self) -> None:
        """Let go of the monitor. Idempotent."""
        self._is_closed = True
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
        self._connected.set()  # who waits is told

    # --- requests ---------------------------------------------------------------------------------

    async def request(self, request: protocol.Request, descriptors: Sequence[int] = ()) -> Reply:
        """Ask the monitor, within its time; one that dies meanwhile is asked again once replaced."""
        return await self.in_time(request, self._repeated(request, descriptors))

    async def request_once(
        self,
        request: protocol.Request,
        descriptors: Sequence[int] = (),
        *,
        timeout_s: float = 0.0,
        on_begun: OnBegun | None = None,
    ) -> Reply:
        """Ask one monitor; ``timeout_s`` is what a command may take beside the monitor's own time.

        Raises:
            MonitorUnavailable: there is none, or it died, or does not answer.
        """
        connection = await self.in_time(request, self._available())
        asked = connection.request(request, descriptors, on_begun)
        return await self.in_time(request, asked, timeout_s)

    async def in_time(self, request: protocol.Request, reply: Awaitable[T], more_s: float = 0.0) -> T:
        """What ``request`` waits for, within the monitor's time and ``more_s``.

        Raises:
            MonitorUnavailable: it was not there in time.
        """
        limit_s = self.timeout_s + more_s
        try:
            async with asyncio.timeout(limit_s):
                return await reply
        except TimeoutError:
            raise MonitorUnavailable(
                f"the monitor has not answered {type(request).__name__} within {limit_s:g} s"
            ) from None

    async def replaced(self) -> None:
        """Wait for the successor of a monitor that has been ended."""
        before = self._connection
        while self._connection is before and before is not None and before.is_open:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_ENDED_POLL_S)  # its last words are read first
        await self.in_time(protocol.List(""), self._available())

    async def _available(self) -> Connection:
        """The connection, once there is one."""
        await self._connected.wait()
        if self._connection is None or not self._connection.is_open:
            raise MonitorUnavailable("the connection to the monitor is closed")
        return self._connection

    async def _repeated(self, request: protocol.Request, descriptors: Sequence[int]) -> Reply:
        while True:
            connection = await self._available()
            try:
                return await connection.request(request, descriptors)
            except MonitorUnavailable:
                if self._is_closed:
                    raise
                if connection is self._connection and not connection.is_open:
                    self._connected.clear()  # so that the next turn waits

    async def records(self, connection: Connection | None = None) -> list[Record]:
        """Every record of the monitor, or of the one at ``connection``, in order of their ids.

        One that makes no sense is left out, and the log says so.
        """
        records: list[Record] = []
        after = ""
        while True:
            request = protocol.List(after)
            if connection is None:
                reply = await self.request(request)
            else:
                reply = await self.in_time(request, connection.request(request))
            part = reply.result.get("records")
            if not isinstance(part, list) or not part:
                return records
            for fields in part:
                try:
                    records.append(protocol.parse_record(fields))
                except ProtocolError as error:
                    log.error("record of the monitor left out error=%s record=%.200r", error, fields)
            before, after = after, str(part[-1].get("id", "")) if isinstance(part[-1], dict) else ""
            if after <= before:
                return records

    def post(self, request: protocol.Request) -> None:
        """Send without waiting for the reply; a lost connection is fine."""
        with contextlib.suppress(MonitorUnavailable):
            if self._connection is not None:
                self._connection.post(request)

    # --- connection -------------------------------------------------------------------------------

    async def _establish(self, *, start: bool) -> Connection:
        """Connect and greet."""
        sock, pid = await launch.connect(self._directory, start=start, timeout_s=self.timeout_s)
        self._started_pid = pid or self._started_pid
        connection = Connection(sock, self._on_event, lambda: self._lost(connection))
        try:
            hello = protocol.Hello(protocol.VERSION, events=True)
            reply = await self.in_time(hello, connection.request(hello))
            for descriptor in reply.descriptors:
                os.close(descriptor)
            if reply.result.get("version") != protocol.VERSION:
                raise MonitorUnavailable(
                    f"the running monitor speaks version {reply.result.get('version')}, this daemon "
                    f"{protocol.VERSION}; drain the node, then send {reply.result.get('pid')} a SIGTERM"
                )
            reply = await self._upgraded(connection, reply)
            self.is_dated = _UPGRADE not in _abilities(reply)
            found = reply.result["pid"]
            assert isinstance(found, int)
            self.pid = found
            await self._house(self.pid)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _upgraded(self, connection: Connection, hello: Reply) -> Reply:
        """What greets us when the monitor is of this release; one that cannot be replaced goes on."""
        if _UPGRADE not in _abilities(hello) or hello.result.get("release") == self._release:
            return hello
        try:
            return await self._upgrade(connection)
        except MonitorFailed as error:
            log.warning("monitor of another release goes on error=%s", error)
            return hello

    async def _upgrade(self, connection: Connection) -> Reply:
        upgrade = protocol.Upgrade(launch.command(self._directory), _QUIET_S)
        reply = await self.in_time(upgrade, connection.request(upgrade), _QUIET_S)
        log.info("monitor upgraded in place pid=%s", reply.result.get("pid"))
        return reply

    async def upgrade(self) -> None:
        """Have the monitor execute this release in place.

        Raises:
            MonitorFailed: it was not the moment, or it cannot.
            MonitorUnavailable: it died of that; another takes over.
        """
        await self._upgrade(await self._available())

    def _begin(self, connection: Connection) -> None:
        """Serve requests by this one from here on.

        Raises:
            MonitorUnavailable: it has been lost meanwhile.
        """
        if not connection.is_open:
            raise MonitorLost("the new monitor died before it could take over")
        self._connection = connection
        self._since = asyncio.get_running_loop().time()
        self._connected.set()

    def _lost(self, connection: Connection) -> None:
        if connection is not self._connection or self._is_closed:
            return  # a recovery under way sees the loss of its own by itself
        self._connected.clear()
        if asyncio.get_running_loop().time() - self._since >= STABLE_S:
            self._failures = 0
        self._on_lost()
        self._recovery = asyncio.get_running_loop().create_task(self._recover(), name="monitor-recovery")

    async def _recover(self) -> None:
        """Start another monitor and hand over to it what lives; tries for ever, less and less often."""
        while True:
            await self._reap_ended()
            await asyncio.sleep(_RESTART_DELAY_S[min(self._failures, len(_RESTART_DELAY_S) - 1)])
            self._failures += 1  # until it has lived for a while
            try:
                await self._replace()
                return
            except Exception as error:
                unforeseen = None if isinstance(error, MonitorUnavailable) else error
                log.error(
                    "monitor not replaced yet attempt=%d error=%s", self._failures, error, exc_info=unforeseen
                )

    async def _replace(self) -> None:
        connection = await self._establish(start=True)
        try:
            await self._hand_over(connection)
            self._begin(connection)
        except BaseException:
            connection.close()
            raise

    async def _reap_ended(self) -> None:
        """Collect the lost monitor if it was our child; it may live, and only the connection be lost."""
        pid = self._started_pid
        pidfd = None if pid is None else open_pidfd(pid)
        if pid is None or pidfd is None:
            self._started_pid = None  # host/children.py has reaped it
            return
        try:
            if await exited(pidfd, _ENDING_S):
                self.reap()
        finally:
            os.close(pidfd)

    def reap(self) -> None:
        """Collect an ended monitor that was our child."""
        pid, self._started_pid = self._started_pid, None
        if pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _abilities(hello: Reply) -> list[object]:
    found = hello.result.get("abilities")
    return found if isinstance(found, list) else []


def open_pidfd(pid: int) -> int | None:
    """The process, if there is one of that number."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
