"""The daemon's side of the monitor: create, exec, attach, exits as they happen, and both ways of hand-over.

The daemon keeps duplicates of every live container's descriptors. When the monitor dies, another is
started (oci/monitor/link.py) and gets them (handover.py); when the daemon dies, :meth:`Monitor.connect` of
the next one finds the monitor with everything in :meth:`Monitor.list`.

What a container is launched by is in launching.py and executing.py.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

from api.ids import ContainerId
from host.processes import exited
from host.spawn import become_subreaper, tells_exit_codes
from oci.monitor import launch, protocol
from oci.monitor.connection import Connection, Reply
from oci.monitor.errands import IN_VAIN_S, end_strays, end_unknown_execs
from oci.monitor.exec_table import Execs
from oci.monitor.executing import Executing, Wanted
from oci.monitor.handles import Attachment, ExecHandle
from oci.monitor.handover import Handover
from oci.monitor.holdings import Held, Holdings
from oci.monitor.launching import Launching
from oci.monitor.link import House, Link, open_pidfd
from oci.monitor.protocol import Json, Record
from oci.monitor.replies import integer
from oci.monitor.scratch import Scratch
from oci.monitor.types import (
    CreateContainer,
    Created,
    ExecFinished,
    Exited,
    MonitorFailed,
    MonitorUnavailable,
    NotLive,
    StuckLog,
    UnknownContainer,
)
from oci.runtime import Runtime
from oci.states import State

log = logging.getLogger(__name__)

_PARTING_S = 5.0


async def _as_it_is(_: int) -> None:
    """Leave the monitor where it was started."""


class Monitor:
    """A connection to the node's monitor that outlives the monitor. Made by :meth:`connect`."""

    def __init__(
        self, directory: Path, timeout_s: float = launch.TIMEOUT_S, house: House = _as_it_is
    ) -> None:
        """Prepare for ``directory``; nothing happens before :meth:`connect`."""
        self.directory = directory
        self._holdings = Holdings()
        self._scratch = Scratch(directory / "scratch")
        self._execs = Execs()
        self._handover = Handover(self._holdings, self._execs, self._ended_unwatched)
        self.lost = 0  # monitors that ended under us
        self._link = Link(directory, timeout_s, house, self._event, self._lost, self._hand_over)
        self._launching = Launching(self._link, self._holdings, self._scratch)
        self._executing = Executing(self._link, self._execs, self._scratch)
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()

    @classmethod
    async def connect(
        cls,
        directory: Path,
        *,
        start: bool = True,
        timeout_s: float = launch.TIMEOUT_S,
        house: House = _as_it_is,
        scratch_apart: bool = False,
    ) -> Self:
        """Connect to the monitor of ``directory``, starting one if there is none and ``start`` allows it.

        ``timeout_s`` bounds the start, and each request that runs no command of a runtime. ``house`` gets
        the pid of each monitor that is met, before that is asked for anything.

        With ``scratch_apart`` files of runtime commands lie on a tmpfs of their own, until ``shutdown``.

        The calling process becomes a subreaper, so that containers whose monitor dies come to it.

        Raises:
            MonitorUnavailable: it cannot be reached or started, or speaks another version.
        """
        monitor = cls(directory, timeout_s, house)
        become_subreaper()
        if scratch_apart:
            monitor._scratch.mount()
        await monitor._link.connect(start=start)
        try:
            live = [record for record in await monitor.list() if record.state != State.EXITED]
            if monitor._link.is_first:
                await monitor._end_strays(live)
            for record in live:
                await monitor._hold(record)
            if monitor._link.is_dated:
                await monitor._succeed_dated()
        except BaseException:
            await monitor.close()
            raise
        return monitor

    async def _end_strays(self, live: Sequence[Record]) -> None:
        """Commands whose daemon and monitor both died work in vain. Only before there is anything of our own:
        a container that is created looks like one of them, and so do those that a keeper has saved."""
        spared = {record.pid for record in live}
        if strays := await end_strays(self.directory / "scratch", IN_VAIN_S, spared):
            log.warning("runtime commands of a monitor that died have been ended commands=%d", strays)
        if execs := await end_unknown_execs(self.directory / "scratch", spared):
            log.warning("processes of execs that nobody knew of have been ended processes=%d", execs)

    async def upgrade(self) -> None:
        """Have the monitor execute this release of itself in place, with everything kept; attachments end.

        Raises:
            MonitorFailed: there was no quiet moment for it, or it is too old.
        """
        await self._link.upgrade()

    async def _succeed_dated(self) -> None:
        """A monitor of before there were upgrades: all that it has is held here, so it may be ended, when the
        commands that it runs are over, and its successor gets that. Where the kernel does not tell exit codes
        by pidfd it goes on until no container lives: it has to be their parent."""
        if not tells_exit_codes():
            log.warning("monitor of an older release goes on: its containers' exit codes need it")
            return
        with contextlib.suppress(MonitorUnavailable):
            await self._link.request(protocol.Settle())
        pidfd = open_pidfd(self._link.pid)
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await exited(pidfd, self._link.timeout_s)
        finally:
            os.close(pidfd)
        await self._link.replaced()
        log.info("monitor of an older release replaced containers=%d", len(self._holdings))

    async def close(self) -> None:
        """Let go of the monitor, which lives on with its containers. Idempotent."""
        self._handover.stop()
        await self._link.close()
        self._execs.close()
        self._holdings.close()

    async def leave(self) -> None:
        """Part with the monitor at a daemon's end: it lives on if containers do, and ends otherwise."""
        try:
            async with asyncio.timeout(_PARTING_S):
                await self.shutdown()
        except MonitorFailed:
            pass  # containers live
        except TimeoutError:
            log.warning("the monitor does not answer, and is left alone pid=%d", self._link.pid)
        await self.close()

    async def shutdown(self) -> None:
        """End the monitor itself, if no container is live; it is gone when this returns.

        Raises:
            MonitorFailed: containers are live.
        """
        pidfd = open_pidfd(self._link.pid)
        self._link.closing()
        try:
            with contextlib.suppress(MonitorUnavailable):
                await self._link.request_once(protocol.Shutdown())
            if pidfd is not None:
                await exited(pidfd, self._link.timeout_s)
        except BaseException:
            self._link.closing(yes=False)
            raise
        finally:
            if pidfd is not None:
                os.close(pidfd)
        await self.close()
        await asyncio.to_thread(self._link.reap)
        self._scratch.unmount()

    # --- containers -------------------------------------------------------------------------------

    async def create(self, spec: CreateContainer) -> Created:
        """Run the runtime's create with the monitor's pipes or console as the container's stdio.

        A failure leaves no descriptors and no record, but may leave the runtime's state: delete with force.

        Raises:
            RuntimeFailed: in the runtime's own words.
            RuntimeTimedOut: after ``spec.timeout_s``; the runtime is killed.
            LogRefused, LogHung, MonitorFailed: the log cannot be opened.
            MonitorFailed: the id is in use.
        """
        return await self._launching.create(spec)

    async def start(self, container_id: ContainerId, runtime: Runtime, timeout_s: float = 60.0) -> None:
        """Run the runtime's start; from then on the record says ``running``.

        If the monitor dies meanwhile the command's end, or else the runtime's state, tells how it went.

        Raises:
            RuntimeFailed: in the runtime's own words.
            ContainerGone: the runtime does not know it.
            RuntimeTimedOut: after ``timeout_s``.
        """
        await self._launching.start(container_id, runtime, timeout_s)

    async def started(self, container_id: ContainerId) -> None:
        """Daemon and monitor died in its start, which has succeeded: its runtime says that it runs."""
        await self._launching.tell_started(container_id)

    async def signal(self, container_id: ContainerId, signo: int) -> None:
        """Send a signal to the container's first process, safe against pid reuse.

        Raises:
            UnknownContainer: the monitor has no record of it.
            NotLive: it has ended.
        """
        try:
            await self._request(protocol.Signal(container_id, signo))
        except UnknownContainer:
            held = self._holdings.find(container_id)
            if held is None:
                raise
            self._signal_held(held, signo)  # no monitor could take it over yet

    def _signal_held(self, held: Held, signo: int) -> None:
        try:
            signal.pidfd_send_signal(held.streams["pidfd"].number, signo)
        except ProcessLookupError:
            raise NotLive("its first process has ended") from None

    async def exec(
        self,
        container_id: ContainerId,
        runtime: Runtime,
        process: Json,
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        start_timeout_s: float = 60.0,
        run_timeout_s: float | None = None,
        stdio_owner: tuple[int, int] = (0, 0),
    ) -> ExecHandle:
        """Start another process (runtime-spec process object) in a running container.

        The descriptors stay the caller's; one that is absent is /dev/null. With ``terminal`` in the process
        object they are not used: the handle's ``console`` is the master end. After ``run_timeout_s`` the
        monitor kills the process and its group, daemon or no daemon. Pipes are given to ``stdio_owner``, see
        CreateContainer.

        Raises:
            RuntimeFailed: in the runtime's own words (no such executable …).
            ContainerGone, UnknownContainer, NotLive: the container has ended or is unknown.
            RuntimeTimedOut: the runtime took longer than ``start_timeout_s``.
        """
        terminal = bool(process.get("terminal"))
        given = {} if terminal else {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        descriptors = {name: os.dup(number) for name, number in given.items() if number is not None}
        return await self._executing.exec(
            Wanted(
                container_id,
                runtime,
                process,
                descriptors,
                start_timeout_s,
                run_timeout_s or 0,
                stdio_owner,
            )
        )

    async def reopen_log(self, container_id: ContainerId) -> None:
        """Start a new log file at the container's log path; it exists when this returns.

        Raises:
            UnknownContainer: the monitor has no record of it.
            NotLive: it has ended.
            LogRefused, MonitorFailed: the file cannot be opened; the old one stays in use.
            LogHung: not in time. It is opened once the file system answers.
        """
        await self._request(protocol.ReopenLog(container_id))

    async def settle_logs(self, directory: Path, timeout_s: float) -> Path:
        """Make a pod's log directory; its path without links, for :meth:`prepare_logs` and the logs' paths.

        Raises:
            LogRefused: it is itself a symbolic link.
            LogHung: its file system does not answer. MonitorFailed: it cannot be made.
        """
        request = protocol.LogPlace("settle", str(directory), timeout_s)
        return Path(str((await self._request(request)).result["path"]))

    async def prepare_logs(self, directory: Path, timeout_s: float) -> int:
        """Make the directory of a container's log below a settled one; its file system (st_dev).

        Raises:
            LogRefused, LogHung, MonitorFailed: see :meth:`settle_logs`.
        """
        request = protocol.LogPlace("prepare", str(directory), timeout_s)
        return integer((await self._request(request)).result, "device")

    async def remove_logs(self, directory: Path, timeout_s: float) -> None:
        """Remove a directory with the logs in it; one that is gone is fine.

        Raises:
            LogHung, MonitorFailed: it could not be.
        """
        await self._request(protocol.LogPlace("remove", str(directory), timeout_s))

    async def stuck_logs(self, age_s: float) -> list[StuckLog]:
        """The logs that their file systems have kept waiting for longer than ``age_s``, the oldest first."""
        reply = await self._request(protocol.StuckLogs(age_s))
        logs = reply.result.get("logs")
        assert isinstance(logs, list)
        return [
            StuckLog(ContainerId(one["id"]), one["path"], one["since_ns"], one["is_refused"]) for one in logs
        ]

    async def attach(
        self,
        container_id: ContainerId,
        *,
        stdin: bool = False,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Attachment:
        """Copy output from now on to the given descriptors (which stay the caller's), and lend stdin.

        A descriptor that takes nothing stops the container's stream until it does. When the container
        has ended they are closed after the last byte.

        Raises:
            UnknownContainer: the monitor has no record of it.
            NotLive: it has ended, or has no stdin though ``stdin`` is asked for.
        """
        given = {"stdout": stdout, "stderr": stderr}
        descriptors = {name: number for name, number in given.items() if number is not None}
        request = protocol.Attach(container_id, stdin, list(descriptors))
        reply = await self._request(request, list(descriptors.values()))
        number = integer(reply.result, "attachment")
        for stdin_lent in reply.descriptors:
            os.set_blocking(stdin_lent, False)  # an older monitor's is blocking
        return Attachment(
            stdin=reply.descriptors[0] if reply.descriptors else None,
            detach=lambda: self._detach(container_id, number),
        )

    async def close_stdin(self, container_id: ContainerId) -> None:
        """Close the container's stdin for good, here and in the monitor."""
        self._holdings.drop_stdin(container_id)
        await self._request(protocol.CloseStdin(container_id))

    async def resize(self, container_id: ContainerId, width: int, height: int) -> None:
        """Set the console's size in characters.

        Raises:
            NotLive: the container has no console or has ended.
        """
        await self._request(protocol.Resize(container_id, width, height))

    async def list(self) -> list[Record]:
        """Every record: created, running, and exited ones not yet forgotten; in order of their ids.

        One that makes no sense is left out, and the log says so.
        """
        return await self._link.records()

    async def settle(self) -> None:
        """Wait until the runtime commands that an earlier daemon began have ended, each within its own time.

        Then :meth:`list` tells the whole truth. For the start of a daemon, before it gives commands itself:
        what those commands left in scratch/ is removed.
        """
        await self._request(protocol.Settle())
        await asyncio.to_thread(self._scratch.sweep)

    async def forget(self, container_id: ContainerId) -> None:
        """Drop the record and exit file of an ended or unknown container.

        Raises:
            MonitorFailed: it is live.
        """
        await self._request(protocol.Forget(container_id))
        self._holdings.release(container_id)  # nor does the next monitor hear of it

    async def exits(self) -> AsyncIterator[Exited]:
        """Exits as they happen, each once; those before :meth:`connect` are in :meth:`list` only.

        For one consumer. Ends never; cancel it.
        """
        while True:
            yield await self._exits.get()

    # --- connection -------------------------------------------------------------------------------

    async def _request(self, request: protocol.Request, descriptors: Sequence[int] = ()) -> Reply:
        """Ask the monitor, or the one that follows it."""
        return await self._link.request(request, descriptors)

    def _post(self, request: protocol.Request) -> None:
        self._link.post(request)

    def _lost(self) -> None:
        self.lost += 1
        log.error("monitor lost; starting another containers=%d", len(self._holdings))
        self._handover.monitor_lost()

    async def _hand_over(self, connection: Connection) -> None:
        await self._handover.to(self._link, connection)
        # If only the connection was lost, exits were told to nobody.
        for record in await self._link.records(connection):
            if record.state == State.EXITED and record.id in self._holdings:
                self._exited(record)

    def _ended_unwatched(self, record: Record, exit_code: int | None) -> None:
        """A container has ended that no monitor could take over."""
        log.error("container ended while no monitor watched it container=%s", record.id)
        self._exited(record._replace(exit_code=exit_code, finished_at_ns=time.time_ns()))

    # --- what we hold -----------------------------------------------------------------------------

    async def _hold(self, record: Record) -> None:
        """Fetch duplicates of a live container's descriptors; it may end meanwhile."""
        expecting = self._holdings.expecting(ContainerId(record.id))
        with contextlib.suppress(NotLive, UnknownContainer), expecting:
            reply = await self._request(protocol.Handles(record.id))
            self._holdings.keep(record, reply.result["streams"], reply.descriptors)

    async def _detach(self, container_id: ContainerId, number: int) -> None:
        with contextlib.suppress(MonitorUnavailable, NotLive, UnknownContainer):
            reply = await self._request(protocol.Detach(container_id, number))
            if reply.result.get("stdin_closed"):
                self._holdings.drop_stdin(container_id)

    def _event(self, event: Json) -> None:
        match event.get("event"):
            case "exited":
                self._exited(protocol.parse_record(event["record"]))
            case "exec_exited":
                ended = ExecFinished(integer(event, "exit_code"), bool(event["timed_out"]))
                self._execs.ended(str(event["exec_id"]), ended)
            case other:
                log.warning("unknown event from the monitor event=%r", other)

    def _exited(self, record: Record) -> None:
        container_id = ContainerId(record.id)
        self._holdings.release(container_id)
        self._exits.put_nowait(
            Exited(container_id, record.exit_code, record.finished_at_ns, record.oom_killed)
        )
