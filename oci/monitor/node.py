"""The monitor's state and verbs: every request of the protocol, served without waiting for any other."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from host.fds import close_all
from host.spawn import CommandNotStarted, start_time
from oci.monitor import protocol, stdio
from oci.monitor.children import Children
from oci.monitor.commands import Command, Commands, Result
from oci.monitor.container import Container, ContainerError
from oci.monitor.execs import RunningExec
from oci.monitor.exits import ExitFiles
from oci.monitor.journal import Journal, chunk_under_way
from oci.monitor.logfile import LogFile
from oci.monitor.oom import Counters as OomCounters
from oci.monitor.peers import Answer, Listener, Peer
from oci.monitor.protocol import Record, Request
from oci.monitor.reactor import Reactor, Timer
from oci.states import State

_EXITS_AGAIN_S = 5.0


class NotFoundHere(Exception):
    """No record of this container."""


# How long a start may go on when its container has ended: crun's waits for a process that was killed in the
# midst of it, and does not notice.
_LAST_WORDS_S = 1.0


class Node:
    """All containers of this monitor."""

    def __init__(self, reactor: Reactor, directory: str, environment: Mapping[str, str]) -> None:
        """Read the exit records of ``directory`` and listen there."""
        self._reactor = reactor
        self._children = Children(reactor)
        self._commands = Commands(reactor, self._children, environment)
        self._journal = Journal()
        self._oom_counters = OomCounters(reactor)
        self._exits = ExitFiles(f"{directory}/exits")
        self._exits_later: Timer | None = None
        os.makedirs(f"{directory}/scratch", mode=0o700, exist_ok=True)
        self._live: dict[str, Container] = {}
        self._creating: set[str] = set()
        self._exited = {record.id: record for record in self._exits.read_all()}
        self._starts: dict[str, Command] = {}
        self._execs: dict[str, RunningExec] = {}
        self._attachments: dict[Peer, list[tuple[str, int]]] = {}
        self._verbs: dict[type[Request], Callable[[Answer, Any, list[int]], None]] = {
            protocol.Hello: self._hello,
            protocol.Create: self._create,
            protocol.Start: self._start,
            protocol.Exec: self._exec,
            protocol.Signal: self._signal,
            protocol.ExecKill: self._exec_kill,
            protocol.ReopenLog: self._reopen_log,
            protocol.Attach: self._attach,
            protocol.Detach: self._detach,
            protocol.CloseStdin: self._close_stdin,
            protocol.Resize: self._resize,
            protocol.List: self._list,
            protocol.Handles: self._handles,
            protocol.Forget: self._forget,
            protocol.Adopt: self._adopt,
            protocol.Reaped: self._reaped,
            protocol.Settle: self._settle,
            protocol.Shutdown: self._shutdown,
        }
        self._listener = Listener(reactor, f"{directory}/monitor.sock", self.handle, self._peer_gone)

    @property
    def idle(self) -> bool:
        """Whether nothing lives that would suffer from our end."""
        return not (self._live or self._creating or self._execs)

    def handle(self, answer: Answer, request: Request, descriptors: list[int]) -> None:
        """Serve one request; it takes the descriptors over."""
        try:
            self._verbs[type(request)](answer, request, descriptors)
        except NotFoundHere as error:
            close_all(descriptors)
            answer.failed("not_found", str(error))
        except ContainerError as error:
            close_all(descriptors)
            answer.failed("not_live", str(error))
        except OSError as error:
            close_all(descriptors)
            answer.failed("failed", f"{error.strerror}: {error.filename}" if error.filename else str(error))

    def _find(self, container_id: str) -> Container:
        """A container whose first process lives."""
        container = self._live.get(container_id)
        if container is not None and not container.ended:
            return container
        if container is not None or container_id in self._exited:
            raise ContainerError(f"container {container_id[:13]} has ended")
        raise NotFoundHere(f"the monitor knows no container {container_id[:13]}")

    def _is_live(self, container_id: str) -> bool:
        container = self._live.get(container_id)
        return container is not None and not container.ending

    # --- connection -------------------------------------------------------------------------------

    def _hello(self, answer: Answer, request: protocol.Hello, _: list[int]) -> None:
        answer.peer.wants_events = request.events
        answer.done({"version": protocol.VERSION, "pid": os.getpid()}, [self._journal.descriptor])

    def _peer_gone(self, peer: Peer) -> None:
        for container_id, number in self._attachments.pop(peer, []):
            container = self._live.get(container_id)
            if container is not None:
                container.detach(number)

    def _settle(self, answer: Answer, _: protocol.Settle, __: list[int]) -> None:
        self._commands.when_idle(lambda: answer.done({}))

    def _shutdown(self, answer: Answer, _: protocol.Shutdown, __: list[int]) -> None:
        if not self.idle:
            raise OSError(f"{len(self._live)} containers and {len(self._execs)} execs live")
        answer.done({})
        self._reactor.stop()

    # --- create and start -------------------------------------------------------------------------

    def _create(self, answer: Answer, request: protocol.Create, _: list[int]) -> None:
        if request.id in self._live or request.id in self._creating:
            raise OSError(f"container {request.id[:13]} exists already")
        log = None if request.log_path is None else LogFile(request.log_path, request.log_size_max)
        io = None
        try:
            owner = (request.stdio_uid, request.stdio_gid)
            io = stdio.for_container(
                stdin=request.stdin,
                console_socket=request.console_socket,
                owner=owner if any(owner) else None,
            )

            def ended(result: Result, since: float) -> None:
                self._creating.discard(request.id)
                with answer.certain(), contextlib.closing(io):
                    self._created(answer, request, result, since, io, log)

            self._commands.run(
                request.argv,
                io.given,
                runtime_log=request.runtime_log,
                errors=io.errors,
                timeout_s=request.timeout_s,
                on_end=ended,
            )
        except (OSError, CommandNotStarted) as error:
            if log is not None:
                log.close()
            if io is not None:
                io.close()
            answer.failed("failed", str(error))
            return
        io.started()
        self._creating.add(request.id)

    def _created(
        self,
        answer: Answer,
        request: protocol.Create,
        result: Result,
        since: float,
        io: stdio.Stdio,
        log: LogFile | None,
    ) -> None:
        """The runtime's create has ended; a success becomes a live container."""
        if result.status != 0 or result.timed_out:
            if log is not None:
                log.close()
            answer.done(result.as_reply())
            return
        try:
            pid = _read_pid(request.pid_file)
            io.take_console()
            pidfd = os.pidfd_open(pid)
            record = _new_record(request, pid)
        except (OSError, ValueError) as error:
            if log is not None:
                log.close()
            answer.failed("failed", f"create left no process behind: {error}")
            return
        container = self._add(record, log, {"pidfd": pidfd, **io.take_kept()})
        self._children.watch(pid, since, container.reaped)
        held = container.descriptors()
        fields = {**result.as_reply(), "record": record._asdict(), "streams": list(held)}
        answer.done(fields, list(held.values()))

    def _add(self, record: Record, log: LogFile | None, descriptors: Mapping[str, int]) -> Container:
        self._exited.pop(record.id, None)
        container = Container(
            self._reactor,
            self._journal,
            record,
            log,
            self._oom_counters,
            descriptors,
            self._container_exited,
        )
        self._live[record.id] = container
        return container

    def _container_exited(self, container: Container) -> None:
        """The record is complete: on disk first, then told."""
        record = container.record
        self._live.pop(record.id, None)
        self._exited[record.id] = record
        self._exits.write(record)
        self._write_waiting()
        self._listener.broadcast("exited", {"record": record._asdict()})
        if (start := self._starts.get(record.id)) is not None:
            self._reactor.later(_LAST_WORDS_S, start.kill)

    def _write_waiting(self) -> None:
        """On a full disk: again and again until the exit records are written."""
        if not self._exits.write_waiting() and self._exits_later is None:
            self._exits_later = self._reactor.later(_EXITS_AGAIN_S, self._write_waiting_now)

    def _write_waiting_now(self) -> None:
        self._exits_later = None
        self._write_waiting()

    def _start(self, answer: Answer, request: protocol.Start, _: list[int]) -> None:
        container = self._find(request.id)
        io = stdio.for_command()

        def ended(result: Result, _: float) -> None:
            self._starts.pop(request.id, None)
            with answer.certain(), contextlib.closing(io):
                if result.status == 0:
                    container.started()
                elif not self._is_live(request.id) and not (result.timed_out or result.log or result.stderr):
                    answer.failed("not_live", f"container {request.id[:13]} has ended")
                    return
                answer.done({**result.as_reply(), "record": container.record._asdict()})

        try:
            self._starts[request.id] = self._commands.run(
                request.argv,
                io.given,
                runtime_log=request.runtime_log,
                errors=io.errors,
                timeout_s=request.timeout_s,
                on_end=ended,
            )
        except CommandNotStarted as error:
            io.close()
            answer.failed("failed", str(error))
            return
        io.started()
        container.starting()

    # --- exec -------------------------------------------------------------------------------------

    def _exec(self, answer: Answer, request: protocol.Exec, descriptors: list[int]) -> None:
        self._find(request.id)
        io = stdio.for_exec(dict(zip(request.streams, descriptors, strict=True)), request.console_socket)
        running = RunningExec(request.exec_id, self._children, self._exec_exited)

        def ended(result: Result, since: float) -> None:
            with answer.certain(), contextlib.closing(io):
                try:
                    self._exec_started(answer, request, result, since, io, running)
                except Exception:
                    self._execs.pop(request.exec_id, None)
                    raise

        try:
            running.command = self._commands.run(
                request.argv,
                io.given,
                runtime_log=request.runtime_log,
                errors=io.errors,
                timeout_s=request.timeout_s,
                on_end=ended,
                oom_adj=request.oom_score_adj,
            )
        except CommandNotStarted as error:
            io.close()
            answer.failed("failed", str(error))
            return
        io.started()
        self._execs[request.exec_id] = running

    def _exec_started(
        self,
        answer: Answer,
        request: protocol.Exec,
        result: Result,
        since: float,
        io: stdio.Stdio,
        running: RunningExec,
    ) -> None:
        """The runtime's exec has ended, and its process runs or has run."""
        if result.status != 0 or result.timed_out:
            del self._execs[request.exec_id]
            if self._is_live(request.id) or result.timed_out:
                answer.done(result.as_reply())
            else:  # what the runtime stumbled over is by chance
                answer.failed("not_live", f"container {request.id[:13]} has ended")
            return
        try:
            pid = _read_pid(request.pid_file)
            io.take_console()
        except (OSError, ValueError) as error:
            del self._execs[request.exec_id]
            answer.failed("failed", f"exec left no process behind: {error}")
            return
        # The process may have ended already, or even been reaped: then this descriptor tells of nothing.
        descriptors = [_pidfd_or_null(pid), *io.kept.values()]
        answer.done({**result.as_reply(), "pid": pid}, descriptors)
        os.close(descriptors[0])
        running.runs(self._reactor, pid, since, request.run_timeout_s)

    def _exec_exited(self, exec_id: str, exit_code: int, timed_out: bool) -> None:
        self._execs.pop(exec_id, None)
        self._listener.broadcast(
            "exec_exited", {"exec_id": exec_id, "exit_code": exit_code, "timed_out": timed_out}
        )

    def _exec_kill(self, answer: Answer, request: protocol.ExecKill, _: list[int]) -> None:
        running = self._execs.get(request.exec_id)
        if running is not None:
            running.kill()
        answer.done({})

    # --- a container's own verbs ------------------------------------------------------------------

    def _signal(self, answer: Answer, request: protocol.Signal, _: list[int]) -> None:
        self._find(request.id).signal(request.signal)
        answer.done({})

    def _reopen_log(self, answer: Answer, request: protocol.ReopenLog, _: list[int]) -> None:
        self._find(request.id).reopen_log()
        answer.done({})

    def _attach(self, answer: Answer, request: protocol.Attach, descriptors: list[int]) -> None:
        container = self._find(request.id)
        sinks = dict(zip(request.streams, descriptors, strict=True))
        number, stdin = container.attach(sinks, stdin=request.stdin)
        self._attachments.setdefault(answer.peer, []).append((request.id, number))
        answer.done({"attachment": number}, [] if stdin is None else [stdin])

    def _detach(self, answer: Answer, request: protocol.Detach, _: list[int]) -> None:
        mine = self._attachments.get(answer.peer, [])
        if (request.id, request.attachment) in mine:
            mine.remove((request.id, request.attachment))
        container = self._live.get(request.id)
        closed = container.detach(request.attachment) if container is not None else False
        answer.done({"stdin_closed": closed})

    def _close_stdin(self, answer: Answer, request: protocol.CloseStdin, _: list[int]) -> None:
        self._find(request.id).close_stdin()
        answer.done({})

    def _resize(self, answer: Answer, request: protocol.Resize, _: list[int]) -> None:
        self._find(request.id).resize(request.width, request.height)
        answer.done({})

    # --- records ----------------------------------------------------------------------------------

    def _list(self, answer: Answer, request: protocol.List, _: list[int]) -> None:
        known = {**self._exited, **{name: container.record for name, container in self._live.items()}}
        names = sorted(name for name in known if name > request.after)[: protocol.LIST_PART]
        answer.done({"records": protocol.fitting([known[name] for name in names])})

    def _handles(self, answer: Answer, request: protocol.Handles, _: list[int]) -> None:
        held = self._find(request.id).descriptors()
        answer.done({"streams": list(held)}, list(held.values()))

    def _forget(self, answer: Answer, request: protocol.Forget, _: list[int]) -> None:
        if request.id in self._live or request.id in self._creating:
            raise OSError(f"container {request.id[:13]} lives")
        self._exited.pop(request.id, None)
        self._exits.remove(request.id)
        answer.done({})

    # --- from a monitor that died -----------------------------------------------------------------

    def _adopt(self, answer: Answer, request: protocol.Adopt, descriptors: list[int]) -> None:
        held = dict(zip(request.streams, descriptors, strict=True))
        record = protocol.parse_record(request.record)
        if record.id in self._live or record.id in self._exited:
            close_all(descriptors)  # only the daemon's connection had been lost
            answer.done({})
            return
        journal = held.pop("journal", None)
        log = None
        if record.log_path is not None:  # one that cannot be opened must not cost the container
            log = LogFile(record.log_path, record.log_size_max, patient=True)
        container = self._add(record, log, held)
        descriptors.clear()  # they are the container's from here on
        if journal is not None:
            chunk = chunk_under_way(journal)
            os.close(journal)
            if chunk is not None and chunk.container_id == record.id:
                container.recover(chunk)
        container.watch_pidfd()
        answer.done({})

    def _reaped(self, answer: Answer, request: protocol.Reaped, _: list[int]) -> None:
        container = self._live.get(request.id)
        if container is not None:
            container.finish(request.exit_code)
        answer.done({})


def _read_pid(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


def _pidfd_or_null(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _new_record(request: protocol.Create, pid: int) -> Record:
    return Record(
        id=request.id,
        runtime=request.runtime,
        pid=pid,
        start_time=start_time(pid),
        state=State.CREATED,
        log_path=request.log_path,
        log_size_max=request.log_size_max,
        terminal=request.console_socket is not None,
        stdin_once=request.stdin_once,
        created_at_ns=time.time_ns(),
        started_at_ns=0,
        finished_at_ns=0,
        exit_code=None,
        oom_killed=False,
    )
