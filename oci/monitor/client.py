"""The daemon's side of the monitor: create, exec, attach, exits as they happen, and both ways of hand-over.

The daemon keeps duplicates of every live container's descriptors. When the monitor dies, :class:`Monitor`
starts another and hands them over; when the daemon dies, :meth:`Monitor.connect` of the next one finds the
monitor with everything in :meth:`Monitor.list`.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from api.ids import ContainerId
from host.fds import close_all, give_pipes
from host.processes import exited
from host.spawn import become_subreaper
from oci.monitor import launch, protocol
from oci.monitor.connection import Connection, Reply
from oci.monitor.handles import Attachment, ExecHandle
from oci.monitor.holdings import Held, Holdings
from oci.monitor.protocol import Json, ProtocolError, Record
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
from oci.runtime import Runtime, RuntimeTimedOut
from oci.states import State

log = logging.getLogger(__name__)

# Requests that run a runtime's command: doing them twice would do something else.
_ONCE = (protocol.Create, protocol.Start, protocol.Exec, protocol.Shutdown)
_RESTART_DELAY_S = (0.0, 0.2, 1.0, 5.0)
_PARTING_S = 5.0
_ENDING_S = 1.0  # between the loss of a monitor's connection and the end of its process

House = Callable[[int], Awaitable[None]]


async def _as_it_is(_: int) -> None:
    """Leave the monitor where it was started."""


class Monitor:
    """A connection to the node's monitor that outlives the monitor. Made by :meth:`connect`."""

    def __init__(
        self, directory: Path, timeout_s: float = launch.TIMEOUT_S, house: House = _as_it_is
    ) -> None:
        """Prepare for ``directory``; nothing happens before :meth:`connect`."""
        self.directory = directory
        self._house = house
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._recovery: asyncio.Task[None] | None = None
        self._pid = 0
        self._started_pid: int | None = None
        self._holdings = Holdings()
        self._scratch = Scratch(directory / "scratch")
        self._execs: dict[str, asyncio.Future[ExecFinished]] = {}
        self._handles: dict[str, ExecHandle] = {}
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()
        self._closed = False

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
        await monitor._establish(start=start)
        monitor._connected.set()
        try:
            for record in await monitor.list():
                if record.state != State.EXITED:
                    await monitor._hold(record)
        except BaseException:
            await monitor.close()
            raise
        return monitor

    async def close(self) -> None:
        """Let go of the monitor, which lives on with its containers. Idempotent."""
        self._closed = True
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
        self._holdings.close()

    async def leave(self) -> None:
        """Part with the monitor at a daemon's end: it lives on if containers do, and ends otherwise."""
        try:
            async with asyncio.timeout(_PARTING_S):
                await self.shutdown()
        except MonitorFailed:
            pass  # containers live
        except TimeoutError:
            log.warning("the monitor does not answer, and is left alone pid=%d", self._pid)
        await self.close()

    async def shutdown(self) -> None:
        """End the monitor itself, if no container is live; it is gone when this returns.

        Raises:
            MonitorFailed: containers are live.
        """
        pidfd = _open_pidfd(self._pid)
        self._closed = True  # the coming loss of the connection is wanted
        try:
            with contextlib.suppress(MonitorUnavailable):
                await self._request(protocol.Shutdown())
            if pidfd is not None:
                await exited(pidfd, self._timeout_s)
        except BaseException:
            self._closed = False
            raise
        finally:
            if pidfd is not None:
                os.close(pidfd)
        await self.close()
        if self._started_pid is not None:
            await asyncio.to_thread(_reap, self._started_pid)
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
        with self._scratch.files("log", "pid", "tty") as (runtime_log, pid_file, console):
            socket_path = console if spec.terminal else None
            argv = spec.runtime.create_command(
                spec.id, spec.bundle, pid_file, runtime_log, socket_path, no_pivot=spec.no_pivot
            )
            request = protocol.Create(
                id=spec.id,
                runtime=spec.runtime.name,
                argv=argv,
                pid_file=pid_file,
                runtime_log=runtime_log,
                console_socket=socket_path,
                log_path=None if spec.log_path is None else str(spec.log_path),
                log_device=spec.log_device,
                log_size_max=spec.log_size_max,
                log_rate=spec.log_rate,
                log_timeout_s=spec.log_timeout_s,
                stdin=spec.stdin,
                stdin_once=spec.stdin_once,
                timeout_s=spec.timeout_s,
                stdio_uid=spec.stdio_owner[0],
                stdio_gid=spec.stdio_owner[1],
            )
            reply = await self._request(request)
        _raise_failure(reply.result, spec.runtime, "create", spec.id, spec.timeout_s)
        record = protocol.parse_record(reply.result["record"])
        self._holdings.keep(record, reply.result["streams"], reply.descriptors)
        return Created(record.pid, record.start_time)

    async def start(self, container_id: ContainerId, runtime: Runtime, timeout_s: float = 60.0) -> None:
        """Run the runtime's start; from then on the record says ``running``.

        Raises:
            RuntimeFailed: in the runtime's own words.
            ContainerGone: the runtime does not know it.
            RuntimeTimedOut: after ``timeout_s``.
        """
        with self._scratch.files("log") as (runtime_log,):
            argv = runtime.start_command(container_id, runtime_log)
            reply = await self._request(protocol.Start(container_id, argv, runtime_log, timeout_s))
        _raise_failure(reply.result, runtime, "start", container_id, timeout_s)
        self._holdings.update(protocol.parse_record(reply.result["record"]))

    async def signal(self, container_id: ContainerId, signo: int) -> None:
        """Send a signal to the container's first process, safe against pid reuse.

        Raises:
            UnknownContainer: the monitor has no record of it.
            NotLive: it has ended.
        """
        await self._request(protocol.Signal(container_id, signo))

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
        starting = asyncio.create_task(
            self._start_exec(
                container_id, runtime, process, descriptors, start_timeout_s, run_timeout_s or 0, stdio_owner
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half started it cannot be killed: nobody would know the process that the runtime is making.
            starting.add_done_callback(_kill_unwanted)
            raise

    async def _start_exec(
        self,
        container_id: ContainerId,
        runtime: Runtime,
        process: Json,
        descriptors: Mapping[str, int],
        start_timeout_s: float,
        run_timeout_s: float,
        stdio_owner: tuple[int, int],
    ) -> ExecHandle:
        """Run the runtime's exec to its end; ``descriptors``, by stream, are closed."""
        exec_id = self._scratch.name()
        finished: asyncio.Future[ExecFinished] = asyncio.get_running_loop().create_future()
        self._execs[exec_id] = finished
        try:
            give_pipes(descriptors.values(), stdio_owner)
            with self._scratch.files("log", "pid", "tty", "json") as (
                runtime_log,
                pid_file,
                console,
                process_file,
            ):
                content = json.dumps(runtime.prepare_process(process)).encode()
                Path(process_file).write_bytes(content)  # /run is memory: microseconds
                socket_path = console if process.get("terminal") else None
                request = protocol.Exec(
                    id=container_id,
                    exec_id=exec_id,
                    argv=runtime.exec_command(container_id, process_file, pid_file, runtime_log, socket_path),
                    process_file=process_file,
                    pid_file=pid_file,
                    runtime_log=runtime_log,
                    console_socket=socket_path,
                    streams=list(descriptors),
                    timeout_s=start_timeout_s,
                    run_timeout_s=run_timeout_s,
                    oom_score_adj=int(str(process.get("oomScoreAdj", 0))),
                )
                reply = await self._request(request, list(descriptors.values()))
            _raise_failure(reply.result, runtime, "exec", container_id, start_timeout_s)
        except BaseException:
            del self._execs[exec_id]
            raise
        finally:
            close_all(descriptors.values())
        pidfd, *console_fds = reply.descriptors
        handle = ExecHandle(
            pid=_integer(reply.result, "pid"),
            console=console_fds[0] if console_fds else None,
            pidfd=pidfd,
            finished=finished,
            kill=lambda: self._post(protocol.ExecKill(exec_id)),
        )
        self._handles[exec_id] = handle
        finished.add_done_callback(lambda _: self._exec_is_over(exec_id))
        return handle

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
        return _integer((await self._request(request)).result, "device")

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
        number = _integer(reply.result, "attachment")
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
        records: list[Record] = []
        after = ""
        while True:
            reply = await self._request(protocol.List(after))
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

    async def exits(self) -> AsyncIterator[Exited]:
        """Exits as they happen, each once; those before :meth:`connect` are in :meth:`list` only.

        For one consumer. Ends never; cancel it.
        """
        while True:
            yield await self._exits.get()

    # --- connection -------------------------------------------------------------------------------

    async def _establish(self, *, start: bool) -> None:
        """Connect and greet."""
        sock, pid = await launch.connect(self.directory, start=start, timeout_s=self._timeout_s)
        connection = Connection(sock, self._event, self._lost)
        try:
            hello = protocol.Hello(protocol.VERSION, events=True)
            reply = await self._in_time(hello, connection.request(hello))
            close_all(reply.descriptors)
            if reply.result.get("version") != protocol.VERSION:
                raise MonitorUnavailable(
                    f"the running monitor speaks version {reply.result.get('version')}, this daemon "
                    f"{protocol.VERSION}; drain the node, then send {reply.result.get('pid')} a SIGTERM"
                )
            self._pid = _integer(reply.result, "pid")
            await self._house(self._pid)
        except BaseException:
            connection.close()
            raise
        self._started_pid = pid or self._started_pid
        self._connection = connection

    async def _request(self, request: protocol.Request, descriptors: Sequence[int] = ()) -> Reply:
        """Ask the monitor; one that dies meanwhile is asked again once replaced, if that can do no harm."""
        if isinstance(request, _ONCE):
            return await self._repeated(request, descriptors)  # the runtime's command has a time of its own
        return await self._in_time(request, self._repeated(request, descriptors))

    async def _in_time(self, request: protocol.Request, reply: Awaitable[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await reply
        except TimeoutError:
            raise MonitorUnavailable(
                f"the monitor has not answered {type(request).__name__} within {self._timeout_s:g} s"
            ) from None

    async def _repeated(self, request: protocol.Request, descriptors: Sequence[int]) -> Reply:
        while True:
            await self._connected.wait()
            if self._connection is None or (self._closed and not isinstance(request, protocol.Shutdown)):
                raise MonitorUnavailable("the connection to the monitor is closed")
            try:
                return await self._connection.request(request, descriptors)
            except MonitorUnavailable:
                if self._closed or isinstance(request, _ONCE):
                    raise

    def _post(self, request: protocol.Request) -> None:
        """Send without waiting for the reply; a lost connection is fine."""
        with contextlib.suppress(MonitorUnavailable):
            if self._connection is not None:
                self._connection.post(request)

    def _lost(self) -> None:
        if self._closed or (self._recovery is not None and not self._recovery.done()):
            return  # a recovery under way sees the loss itself, and goes on
        log.error("monitor lost; starting another containers=%d", len(self._holdings))
        self._connected.clear()
        self._recovery = asyncio.get_running_loop().create_task(self._recover(), name="monitor-recovery")

    async def _recover(self) -> None:
        """Start another monitor and hand every live container over to it; tries for ever."""
        await self._reap_ended()
        for attempt in itertools.count():
            await asyncio.sleep(_RESTART_DELAY_S[min(attempt, len(_RESTART_DELAY_S) - 1)])
            try:
                await self._hand_over()
                return
            except Exception:
                log.exception("monitor not replaced yet attempt=%d", attempt + 1)

    async def _reap_ended(self) -> None:
        """Collect the lost monitor if it was our child; it may live, and only the connection be lost."""
        pid = self._started_pid
        pidfd = None if pid is None else _open_pidfd(pid)
        if pid is None or pidfd is None:
            return
        try:
            if await exited(pidfd, _ENDING_S):
                _reap(pid)
                self._started_pid = None
        finally:
            os.close(pidfd)

    async def _hand_over(self) -> None:
        await self._establish(start=True)
        assert self._connection is not None
        try:
            for held in self._holdings.all():
                await self._adopt(self._connection, held)
        except BaseException:
            self._connection.close()
            raise
        for handle in list(self._handles.values()):
            handle.orphaned()
        self._connected.set()
        for record in await self.list():  # if only the connection was lost, exits were told to nobody
            if record.state == State.EXITED and record.id in self._holdings:
                self._exited(record)

    async def _adopt(self, connection: Connection, held: Held) -> None:
        """Give one container to the new monitor; one that it cannot take must not cost the others theirs."""
        streams = self._holdings.to_hand_over(held)
        request = protocol.Adopt(held.record._asdict(), list(streams))
        try:
            await self._in_time(request, connection.request(request, list(streams.values())))
        except MonitorFailed as error:
            log.error("container not taken over container=%s error=%s", held.record.id, error)
            return
        self._holdings.watch(held, lambda name, code: self._post(protocol.Reaped(name, code)))

    # --- what we hold -----------------------------------------------------------------------------

    async def _hold(self, record: Record) -> None:
        """Fetch duplicates of a live container's descriptors; it may end meanwhile."""
        with contextlib.suppress(NotLive, UnknownContainer):
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
                finished = self._execs.get(str(event["exec_id"]))
                if finished is not None and not finished.done():
                    finished.set_result(ExecFinished(_integer(event, "exit_code"), bool(event["timed_out"])))
            case other:
                log.warning("unknown event from the monitor event=%r", other)

    def _exited(self, record: Record) -> None:
        container_id = ContainerId(record.id)
        self._holdings.release(container_id)
        self._exits.put_nowait(
            Exited(container_id, record.exit_code, record.finished_at_ns, record.oom_killed)
        )

    def _exec_is_over(self, exec_id: str) -> None:
        self._execs.pop(exec_id, None)
        self._handles.pop(exec_id, None)


def _kill_unwanted(starting: asyncio.Task[ExecHandle]) -> None:
    """End an exec whose caller left while it was started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill_now()
        starting.result().close()


def _integer(result: Mapping[str, object], key: str) -> int:
    value = result[key]
    assert isinstance(value, int)
    return value


def _raise_failure(result: Json, runtime: Runtime, verb: str, container_id: str, timeout_s: float) -> None:
    """Turn a runtime command's result into its error, if it failed."""
    if result.get("timed_out"):
        raise RuntimeTimedOut(runtime.name, verb, container_id, timeout_s)
    if result.get("status") != 0:
        words = (str(result.get("log", "")).encode(), str(result.get("stderr", "")).encode())
        raise runtime.failure(verb, container_id, *words)


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _reap(pid: int) -> None:
    """Collect an ended monitor that was our child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
