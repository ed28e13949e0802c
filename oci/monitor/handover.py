"""What a new monitor is given by the daemon, one by one: containers, and execs that run.

One that cannot be taken over waits until all others have been served, and is tried again behind; meanwhile
its end is learnt from its pidfd, so that nobody waits for a container that has ended.
"""

import asyncio
import logging
from collections.abc import Callable

from oci.monitor.connection import Connection
from oci.monitor.exec_table import Exec, Execs
from oci.monitor.holdings import Held, Holdings, Stage
from oci.monitor.link import Link
from oci.monitor.protocol import Adopt, Reaped, Record
from oci.monitor.types import MonitorUnavailable

log = logging.getLogger(__name__)

_SUSPECT = 2  # monitors that died over a container, or hung: it is tried after all others then
_AGAIN_S = (0.5, 2.0, 10.0, 30.0)


class Handover:
    """The hand-over to each monitor that follows another."""

    def __init__(
        self, holdings: Holdings, execs: Execs, on_unwatched: Callable[[Record, int | None], None]
    ) -> None:
        """``on_unwatched`` is told the end of a container that no monitor watches."""
        self._holdings = holdings
        self._execs = execs
        self._on_unwatched = on_unwatched
        self._again: asyncio.Task[None] | None = None

    def monitor_lost(self) -> None:
        """Reap and time here what was the monitor's."""
        self.stop()
        self._holdings.monitor_lost()
        for held in self._holdings.waiting(Stage.WAITING):
            self._holdings.watch(held, lambda _: None)
        self._execs.each(Exec.orphaned)

    def stop(self) -> None:
        """No more attempts."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    async def to(self, link: Link, connection: Connection) -> None:
        """Give the monitor at ``connection`` all that it takes.

        Raises:
            MonitorUnavailable: it died or hangs; the next one gets all.
        """
        self.stop()
        self._holdings.monitor_lost()  # one that died over an earlier attempt had some of them
        for one in self._execs.all():  # first: the keeper's are ended if nobody comes for them
            await self._adopt_exec(link, connection, one)
        for held in self._holdings.waiting(Stage.WAITING):
            if held.failures < _SUSPECT:
                await self._adopt(link, connection, held)
            else:
                self._refused(held)
        if self._holdings.waiting(Stage.REFUSED):
            self._again = asyncio.get_running_loop().create_task(self._try_again(link, connection))

    async def _adopt(self, link: Link, connection: Connection, held: Held) -> None:
        """Give one container to the new monitor; what goes wrong with it must not cost the others theirs."""
        if not self._holdings.is_held(held):
            return  # it has ended meanwhile
        held.failures += 1
        try:
            streams = self._holdings.to_hand_over(held)
            request = Adopt(held.record._asdict(), list(streams))
            await link.in_time(request, connection.request(request, list(streams.values())))
        except MonitorUnavailable:
            raise
        except Exception as error:
            log.error("container not taken over container=%s error=%s", held.record.id, error)
            self._refused(held)
            return
        held.failures, held.stage = 0, Stage.HELD
        if self._holdings.is_held(held):
            self._holdings.watch(held, lambda code: self._reaped(link, connection, held, code))

    def _reaped(self, link: Link, connection: Connection, held: Held, code: int | None) -> None:
        """An orphan of a dead monitor was our child; should this word be lost, the next monitor gets it."""
        if code is not None and connection.is_open:
            connection.post(Reaped(held.record.id, code))

    def _refused(self, held: Held) -> None:
        held.stage = Stage.REFUSED
        if self._holdings.is_held(held):
            self._holdings.watch(held, lambda code: self._on_unwatched(held.record, code))

    async def _try_again(self, link: Link, connection: Connection) -> None:
        """Those that were refused, one at a time, with growing pauses."""
        while connection.is_open and (refused := self._holdings.waiting(Stage.REFUSED)):
            most = max(held.failures for held in refused)
            await asyncio.sleep(_AGAIN_S[min(most, len(_AGAIN_S)) - 1])
            for held in refused:
                try:
                    await self._adopt(link, connection, held)
                except MonitorUnavailable as error:
                    log.error("container not taken over container=%s error=%s", held.record.id, error)
                    self._refused(held)

    async def _adopt_exec(self, link: Link, connection: Connection, one: Exec) -> None:
        adoption = one.adoption()
        if adoption is None:
            return
        try:
            await link.in_time(adoption[0], connection.request(*adoption))
        except MonitorUnavailable:
            raise
        except Exception as error:  # it is watched and timed here all the same
            log.error("exec not taken over exec=%s error=%s", one.exec_id, error)
