"""The monitor's state and verbs: every request of the protocol, served without waiting for any other."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from host.fds import close_all
from host.spawn import CommandNotStarted, is_child
from oci import orders
from oci.monitor import protocol, release, stdio, upgrade
from oci.monitor.beginning import Beginning, can_begin
from oci.monitor.children import Children
from oci.monitor.commands import Command, Commands, Programs, Result, Task
from oci.monitor.container import Container, ContainerError
from oci.monitor.creation import Creation
from oci.monitor.execs import AdoptedExec, RunningExec
from oci.monitor.exits import ExitFiles
from oci.monitor.inside import Inside
from oci.monitor.keeping import Keeping, Kept
from oci.monitor.kept import UNKNOWN_PAST, KeptExec, Past, parse
from oci.monitor.oom import Counters as OomCounters
from oci.monitor.peers import Answer, Listener, Peer
from oci.monitor.places import Places
from oci.monitor.protocol import Record, Request
from oci.monitor.reactor import Reactor, Timer, complain
from oci.monitor.writer_words import Refusal
from oci.monitor.writers import Output, Writers

_STREAMS = ("stdout", "stderr", "console")
_PARTING_S = 1.0  # for log writers to end, when the monitor does

_EXITS_AGAIN_S = 5.0
_QUIET_POLL_S = 0.005
_UNCLAIMED_S = 3.0  # for a daemon whose connection was lost to come back to its execs
_DAEMON_S = 30.0  # for one to come to a monitor that has execs of an earlier one


class NotFoundHere(Exception):
    """No record of this container."""


# How long a start may go on when its container has ended: crun's waits for a process that was killed in the
# midst of it, and does not notice.
_LAST_WORDS_S = 1.0


class Node:
    """All containers of this monitor."""

    def __init__(
        self,
        reactor: Reactor,
        directory: str,
        environment: Mapping[str, str],
        lock: int,
        before: upgrade.State | None = None,
    ) -> None:
        """Read the exit records of ``directory`` and listen there; ``lock`` is held for it. Goes on with
        what was ``before``, in an upgrade, or with what a keeper holds."""
        self._reactor = reactor
        self._lock = lock
        self._release = release.identity()
        self._children = Children(reactor)
        self._inside = Inside(reactor, self._children, environment)
        self._commands = Commands(reactor, self._children, Programs(environment), self._inside)
        self._writers = Writers(reactor, self._children)
        self._places = Places(reactor, self._children)
        self._oom_counters = OomCounters(reactor)
        self._keeping = Keeping(reactor, directory)
        self._exits = ExitFiles(f"{directory}/exits")
        self._exits_later: Timer | None = None
        self._unreleased: set[str] = set()  # that have ended, which is not on disk yet
        os.makedirs(f"{directory}/scratch", mode=0o700, exist_ok=True)
        self._live: dict[str, Container] = {}
        self._creating: set[str] = set()
        self._settling: list[Answer] = []
        self._exited = {record.id: record for record in self._exits.read_all()}
        self._starts: dict[str, Command | Beginning] = {}
        self._execs: dict[str, RunningExec | AdoptedExec] = {}
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
            protocol.Started: self._started,
            protocol.AdoptExec: self._adopt_exec,
            protocol.LogPlace: self._log_place,
            protocol.StuckLogs: self._stuck_logs,
            protocol.Settle: self._settle,
            protocol.Upgrade: self._upgrade,
            protocol.Shutdown: self._shutdown,
        }
        if before is None:
            self._inherit(self._keeping.take())
        else:
            self._keeping.meet()
            self._inherit(before.kept)
        self._listener = Listener(
            reactor,
            f"{directory}/monitor.sock",
            self.handle,
            self._peer_gone,
            None if before is None else before.listener,
        )
        if before is not None:
            self._resume(before)

    @property
    def idle(self) -> bool:
        """Whether nothing lives that would suffer from our end."""
        return not (self._live or self._creating or self._execs)

    def close(self) -> None:
        """The monitor ends: end the log writers first."""
        self._inside.close()
        self._places.close()
        self._writers.close(_PARTING_S)
        self._keeping.close()

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
        if request.events:
            self._await_claims(_UNCLAIMED_S)
        self._introduce(answer)

    def _introduce(self, answer: Answer) -> None:
        fields = {"version": protocol.VERSION, "pid": os.getpid()}
        answer.done({**fields, "abilities": list(release.ABILITIES), "release": self._release})

    def _peer_gone(self, peer: Peer) -> None:
        for container_id, number in self._attachments.pop(peer, []):
            container = self._live.get(container_id)
            if container is not None:
                container.detach(number)
        if any(one.peer is peer for one in self._execs.values()):
            self._reactor.later(_UNCLAIMED_S, partial(self._end_unclaimed, peer))

    def _await_claims(self, patience_s: float) -> None:
        """Execs of an earlier monitor that no daemon wants are ended after a while."""
        if any(one.peer is None for one in self._execs.values()):
            self._reactor.later(patience_s, partial(self._end_unclaimed, None))

    def _end_unclaimed(self, peer: Peer | None) -> None:
        """An exec is for whoever waits for it: with the daemon that asked, its client is gone for good."""
        for one in list(self._execs.values()):
            if one.peer is peer:
                one.kill()

    def _settle(self, answer: Answer, _: protocol.Settle, __: list[int]) -> None:
        self._settling.append(answer)
        self._tell_if_settled()

    def _tell_if_settled(self) -> None:
        """A create runs from its request on, though its log is opened first."""
        if not self._creating:
            settling, self._settling = self._settling, []
            for answer in settling:
                self._commands.when_idle(partial(answer.done, {}))

    # --- upgrade ----------------------------------------------------------------------------------

    def _upgrade(self, answer: Answer, request: protocol.Upgrade, _: list[int]) -> None:
        """No request is read from here on; those that are under way come to their end."""
        self._listener.pause()
        self._become(answer, request.argv, time.monotonic() + request.timeout_s)

    def _become(self, answer: Answer, argv: list[str], deadline: float) -> None:
        """Now or, when somebody waits for something, a little later."""
        busy = self._busy_with()
        if not busy:
            try:
                upgrade.become(argv, self._state(answer))
            except OSError as error:
                busy = f"{argv[0]} cannot be executed: {error.strerror}"
                complain(f"no upgrade: {busy}")
        elif time.monotonic() < deadline:
            self._reactor.later(_QUIET_POLL_S, partial(self._become, answer, argv, deadline))
            return
        self._listener.pause(yes=False)
        answer.failed("failed", f"no upgrade: {busy}")

    def _busy_with(self) -> str:
        """Why this is no moment for an upgrade; empty if it is one."""
        reasons = {
            "an end has not been told yet": self._reactor.owes_calls,
            "a container is being created": bool(self._creating),
            "a runtime's command runs": not self._commands.is_idle,
            "a log is waited for": self._writers.are_asked or self._places.are_asked,
            "exit records cannot be written": not self._exits.all_written,
            "messages are under way": not (self._keeping.has_all and self._listener.has_all),
        }
        return ", ".join(reason for reason, is_so in reasons.items() if is_so)

    def _state(self, answer: Answer) -> upgrade.State:
        peers = self._listener.peers
        asked = {_exec_key(name): one.peer for name, one in self._execs.items()}
        return upgrade.State(
            self._lock,
            self._listener.descriptor,
            [upgrade.Connected(peer.descriptor, peer.wants_events) for peer in peers],
            self._keeping.objects(),
            {key: peers.index(peer) for key, peer in asked.items() if peer in peers},
            (peers.index(answer.peer) if answer.peer in peers else -1, answer.rid),
        )

    def _resume(self, before: upgrade.State) -> None:
        """The daemons' connections go on, and who asked for the upgrade is answered."""
        peers = [self._listener.adopt(*each) for each in before.peers]
        for name, one in self._execs.items():
            index = before.askers.get(_exec_key(name))
            one.peer = None if index is None else peers[index]
        self._reactor.soon(self._children.reap)  # what ended while nobody looked
        self._await_claims(_UNCLAIMED_S)
        index, rid = before.answer
        if index >= 0:
            self._introduce(Answer(peers[index], rid))

    def _shutdown(self, answer: Answer, _: protocol.Shutdown, __: list[int]) -> None:
        if not self.idle:
            raise OSError(f"{len(self._live)} containers and {len(self._execs)} execs live")
        answer.done({})
        self._reactor.stop()

    # --- create and start -------------------------------------------------------------------------

    def _create(self, answer: Answer, request: protocol.Create, _: list[int]) -> None:
        if request.id in self._live or request.id in self._creating:
            raise OSError(f"container {request.id[:13]} exists already")
        self._creating.add(request.id)
        over = partial(self._create_is_over, request.id)
        Creation(answer, request, self._writers, self._commands, self._made, over).begin()

    def _create_is_over(self, container_id: str) -> None:
        self._creating.discard(container_id)
        self._tell_if_settled()

    def _made(
        self, record: Record, output: Output, descriptors: Mapping[str, int], since: float
    ) -> Mapping[str, int]:
        """A runtime's create has succeeded."""
        own, streams = _parted(descriptors)
        if record.log_path is None:
            self._writers.of(record.log_device).adopt(output, streams)
        else:
            self._writers.of(record.log_device).add(output, streams)
        container = self._add(record, output, own)
        self._keeping.put(record.id, container.kept)
        self._children.watch(record.pid, since, container.reaped)
        return container.descriptors()

    def _add(
        self, record: Record, output: Output, descriptors: Mapping[str, int], past: Past = UNKNOWN_PAST
    ) -> Container:
        self._exited.pop(record.id, None)
        container = Container(
            self._reactor,
            self._writers.of(record.log_device),
            record,
            output,
            self._oom_counters,
            descriptors,
            self._container_exited,
            lambda container: self._keeping.changed(container.record.id),
            past,
        )
        self._live[record.id] = container
        return container

    def _container_exited(self, container: Container) -> None:
        """The record is complete: on disk first, then told."""
        record = container.record
        self._live.pop(record.id, None)
        self._exited[record.id] = record
        self._exits.write(record)
        self._keeping.leave(record.id)
        self._unreleased.add(record.id)
        self._write_waiting()
        self._listener.broadcast("exited", {"record": record._asdict()})
        if (start := self._starts.get(record.id)) is not None:
            self._reactor.later(_LAST_WORDS_S, start.kill)

    def _write_waiting(self) -> None:
        """On a full disk: again and again until the exit records are written."""
        if not self._exits.write_waiting() and self._exits_later is None:
            self._exits_later = self._reactor.later(_EXITS_AGAIN_S, self._write_waiting_now)
        for container_id in [one for one in self._unreleased if not self._exits.is_waiting(one)]:
            self._unreleased.remove(container_id)
            self._keeping.drop(container_id)

    def _write_waiting_now(self) -> None:
        self._exits_later = None
        self._write_waiting()

    def _start(self, answer: Answer, request: protocol.Start, _: list[int]) -> None:
        container = self._find(request.id)

        def over(result: Result) -> None:
            self._starts.pop(request.id, None)
            with answer.certain():
                if result.status == 0:
                    container.started()
                elif not self._is_live(request.id) and not (result.timed_out or result.log or result.stderr):
                    answer.failed("not_live", f"container {request.id[:13]} has ended")
                    return
                answer.done({**result.as_reply(), "record": container.record._asdict()})

        inside = None if request.inside is None else orders.Inside.parse(request.inside)
        container.starting()  # before it does: who finds it without us has to know
        if inside is not None and can_begin(inside):
            timeout_s = request.timeout_s
            self._starts[request.id] = Beginning(self._reactor, self._commands, inside, timeout_s, over)
        else:
            self._start_by_command(answer, request, container, over)

    def _start_by_command(
        self,
        answer: Answer,
        request: protocol.Start,
        container: Container,
        over: Callable[[Result], None],
    ) -> None:
        io = stdio.for_command()

        def ended(result: Result, _: float) -> None:
            with contextlib.closing(io):
                over(result)

        try:
            self._starts[request.id] = self._commands.run(
                Task(request.argv, request.runtime_log, request.timeout_s, request.inside),
                io.given,
                errors=io.errors,
                on_end=ended,
                on_begun=answer.begun,
            )
        except CommandNotStarted as error:
            container.not_starting()
            io.close()
            answer.failed("failed", str(error))
            return
        io.started()

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
                Task(
                    request.argv,
                    request.runtime_log,
                    request.timeout_s,
                    request.inside,
                    request.oom_score_adj,
                ),
                io.given,
                errors=io.errors,
                on_end=ended,
                on_begun=answer.begun,
            )
        except CommandNotStarted as error:
            io.close()
            answer.failed("failed", str(error))
            return
        io.started()
        running.peer = answer.peer
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
        pidfd = _pidfd_or_null(pid)
        running.runs(self._reactor, pid, pidfd, since, request.run_timeout_s)
        self._keeping.put(_exec_key(request.exec_id), running.kept)
        answer.done({**result.as_reply(), "pid": pid}, [pidfd, *io.kept.values()])

    def _exec_exited(self, exec_id: str, exit_code: int, timed_out: bool) -> None:
        self._exec_over(exec_id)
        self._listener.broadcast(
            "exec_exited", {"exec_id": exec_id, "exit_code": exit_code, "timed_out": timed_out}
        )

    def _exec_over(self, exec_id: str) -> None:
        self._execs.pop(exec_id, None)
        self._keeping.drop(_exec_key(exec_id))

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
        def done(refusal: Refusal | None) -> None:
            if refusal is None:
                answer.done({})
            else:
                answer.failed(*refusal)

        self._find(request.id).reopen_log(done)

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
        self._write_waiting()
        answer.done({})

    # --- from a monitor that died -----------------------------------------------------------------

    def _adopt(self, answer: Answer, request: protocol.Adopt, descriptors: list[int]) -> None:
        held = dict(zip(request.streams, descriptors, strict=True))
        record = protocol.parse_record(request.record)
        if record.id in self._live or record.id in self._exited:
            close_all(descriptors)  # only the daemon's connection had been lost
            answer.done({})
            return
        descriptors.clear()  # each has another owner by now, who closes it
        container = self._take_over(record, held, UNKNOWN_PAST)
        self._keeping.put(record.id, container.kept)
        answer.done({})

    def _take_over(self, record: Record, held: Mapping[str, int], past: Past) -> Container:
        """Go on with a container of an earlier monitor; its descriptors are taken over."""
        own, streams = _parted({name: held[name] for name in held if name != "journal"})
        try:
            writer = self._writers.of(record.log_device, held.get("journal"))
            output = Output(
                record.id, record.log_path, record.log_size_max, record.log_rate, record.log_device
            )
            writer.adopt(output, streams)
            try:
                container = self._add(record, output, own, past)
            except BaseException:
                writer.drop(output)
                raise
        except BaseException:
            close_all(own.values())
            raise
        if not past.ended_at_ns and is_child(record.pid):
            self._children.watch(record.pid, time.monotonic(), container.reaped)
        else:
            container.go_on(past)
        return container

    def _inherit(self, objects: list[Kept]) -> None:
        """Go on with what a keeper holds: monitor and daemon may have died at once. Or with what we had."""
        for kept in objects:
            try:
                self._take_kept(kept)
            except Exception:
                complain(f"{kept.key}, which the keeper had, is given up", trace=True)
                self._keeping.refuse(kept)
        self._await_claims(_DAEMON_S)

    def _take_kept(self, kept: Kept) -> None:
        found = parse(kept.value)
        if isinstance(found, KeptExec):
            [pidfd] = kept.descriptors
            one = self._own(found, pidfd) if is_child(found.pid) else self._adopted(found, pidfd)
            self._keeping.taken(kept.key, one.kept)
        elif found.record.id in self._exited:
            self._keeping.refuse(kept)  # its end is on record: the monitor died before it could release it
        else:
            held = dict(zip(found.streams, kept.descriptors, strict=True))
            kept.descriptors.clear()
            container = self._take_over(found.record, held, found.past)
            self._keeping.taken(kept.key, container.kept)

    def _own(self, kept: KeptExec, pidfd: int) -> RunningExec:
        """One that we had started before an upgrade."""
        one = RunningExec(kept.exec_id, self._children, self._exec_exited)
        one.goes_on(self._reactor, kept, pidfd)
        self._execs[kept.exec_id] = one
        return one

    def _adopted(self, kept: KeptExec, pidfd: int) -> AdoptedExec:
        exec_id = kept.exec_id
        one = AdoptedExec(self._reactor, kept, pidfd, lambda: self._exec_over(exec_id))
        self._execs[exec_id] = one
        return one

    def _reaped(self, answer: Answer, request: protocol.Reaped, _: list[int]) -> None:
        container = self._live.get(request.id)
        if container is not None:
            container.finish(request.exit_code)
        answer.done({})

    def _started(self, answer: Answer, request: protocol.Started, _: list[int]) -> None:
        self._find(request.id).started()
        answer.done({})

    def _adopt_exec(self, answer: Answer, request: protocol.AdoptExec, descriptors: list[int]) -> None:
        [pidfd] = descriptors
        one = self._execs.get(request.exec_id)
        if one is None:
            descriptors.clear()
            one = self._adopted(KeptExec(request.exec_id, request.pid, 0.0), pidfd)
            self._keeping.put(_exec_key(request.exec_id), one.kept)
        else:
            close_all(descriptors)  # the keeper had it, or only the daemon's connection had been lost
        one.claim(answer.peer, request.left_s)
        self._keeping.changed(_exec_key(request.exec_id))
        answer.done({})

    def _log_place(self, answer: Answer, request: protocol.LogPlace, _: list[int]) -> None:
        def done(result: protocol.Json, refusal: Refusal | None) -> None:
            if refusal is None:
                answer.done(result)
            else:
                answer.failed(*refusal)

        self._places.call(request.verb, request.directory, request.timeout_s, done)

    def _stuck_logs(self, answer: Answer, request: protocol.StuckLogs, _: list[int]) -> None:
        found = self._writers.stuck(request.age_s)[: protocol.LIST_PART]
        answer.done({"logs": [one._asdict() for one in found]})


def _parted(descriptors: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """A container's descriptors: what is its own business, and the streams that are read."""
    streams = {name: descriptors[name] for name in _STREAMS if name in descriptors}
    return {name: number for name, number in descriptors.items() if name not in streams}, streams


def _exec_key(exec_id: str) -> str:
    """Apart from the ids of containers."""
    return f"exec {exec_id}"


def _read_pid(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


def _pidfd_or_null(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
