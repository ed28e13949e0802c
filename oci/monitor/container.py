"""One live container in the monitor: its descriptors, and what happens from its exit to its record.

created ──start──▶ running ──init process ends──▶ draining ──log complete──▶ exited
   └──────────────────────────────────────────────▲
"""

import itertools
import os
import select
import signal
import time
from collections.abc import Callable, Mapping

from host.fds import close_all
from host.pty import set_window_size
from host.spawn import exit_code_of, pidfd_exit_code
from oci.monitor.journal import Chunk, Journal
from oci.monitor.logfile import LogFile
from oci.monitor.oom import Counters as OomCounters
from oci.monitor.output import Sink, Stream
from oci.monitor.protocol import Record
from oci.monitor.reactor import READ, Reactor, complain
from oci.states import Event, State, after

# Others may hold a container's pipe open after its first process (with a shared PID namespace): they are
# given this long to finish their lines.
_DRAIN_S = 0.5
_DRAIN_STALLED_S = 10.0  # … or this long if the log's disk is full
_UNKNOWN_AFTER_S = 3.0  # for the parent of an adopted process to reap it
_POLL_S = 0.05
SIGKILLED = 128 + signal.SIGKILL


class ContainerError(Exception):
    """The container lacks what was asked for, or has ended."""


class Container:
    """A container from the end of create until its log is complete; then only its record stays.

    ``descriptors`` by name are taken over: pidfd, and stdin, stdout, stderr or console.
    """

    def __init__(
        self,
        reactor: Reactor,
        journal: Journal,
        record: Record,
        log: LogFile | None,
        oom_counters: OomCounters,
        descriptors: Mapping[str, int],
        on_exited: Callable[["Container"], None],
    ) -> None:
        """Begin to read the output. ``on_exited`` is called once, with the record complete."""
        self.record = record
        self._reactor = reactor
        self._log = log
        self._on_exited = on_exited
        self._pidfd = descriptors["pidfd"]
        self._stdin = descriptors.get("stdin")
        self._drained = False
        self._exit_code: int | None = None
        self._starting_at_ns = 0
        self._ended_at_ns = 0
        self._attachments: dict[int, list[Sink]] = {}
        self._numbers = itertools.count(1)
        self._oom_kills = oom_counters.of(record.pid)
        self._oom_killed = False
        self.streams = {
            name: Stream(reactor, journal, record.id, name, descriptors[name], log, self._stream_ended)
            for name in ("stdout", "stderr", "console")
            if name in descriptors
        }

    @property
    def ended(self) -> bool:
        """Whether the first process has ended."""
        return bool(self._ended_at_ns)

    @property
    def ending(self) -> bool:
        """Whether it has ended, be it that nobody has been told yet."""
        if self.ended:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    # --- while it lives ---------------------------------------------------------------------------

    def descriptors(self) -> dict[str, int]:
        """What the daemon gets duplicates of, by name; they stay ours."""
        held = {name: stream.descriptor for name, stream in self.streams.items() if not stream.ended}
        if self._stdin is not None:
            held["stdin"] = self._stdin
        return {"pidfd": self._pidfd, **held}

    def starting(self) -> None:
        """The runtime's start begins; the process may run, and end, before that command does."""
        self._starting_at_ns = time.time_ns()

    def started(self) -> None:
        """The runtime's start has succeeded."""
        if self.record.state == State.CREATED:
            state = after(State.CREATED, Event.STARTED)
            self.record = self.record._replace(state=state, started_at_ns=time.time_ns())

    def signal(self, number: int) -> None:
        """Signal the first process.

        Raises:
            ContainerError: it has ended.
        """
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            raise ContainerError("its first process has ended") from None

    def reopen_log(self) -> None:
        """Write to a new file at the log's path from now on.

        Raises:
            OSError: it cannot be opened; the old one stays.
        """
        if self._log is not None:
            self._log.reopen()

    def resize(self, width: int, height: int) -> None:
        """Set the console's window size.

        Raises:
            ContainerError: there is no console.
        """
        stream = self.streams.get("console")
        if stream is None or stream.ended:
            raise ContainerError("it has no console")
        set_window_size(stream.descriptor, width, height)

    def attach(self, sinks: Mapping[str, int], *, stdin: bool) -> tuple[int, int | None]:
        """Copy output to ``sinks`` (taken over, by stream name); gives the attachment's number and stdin.

        Raises:
            ContainerError: stdin is asked for and closed or absent.
        """
        console = self.streams.get("console")
        borrowed = self._stdin if console is None or console.ended else console.descriptor
        if stdin and borrowed is None:
            raise ContainerError("its stdin is closed, or it was created without")
        number = next(self._numbers)
        attached = self._attachments[number] = []
        for name, descriptor in sinks.items():
            stream = console if console is not None and name == "stdout" else self.streams.get(name)
            if stream is None or stream.ended:
                os.close(descriptor)  # the attached end sees the end of output at once
            else:
                attached.append(stream.add_sink(descriptor, lambda: None))
        return number, borrowed if stdin else None

    def detach(self, number: int) -> bool:
        """End an attachment, an unknown one too; whether that closed stdin."""
        sinks = self._attachments.pop(number, None)
        if sinks is None:
            return False
        for sink in sinks:
            sink.close()
        if self.record.stdin_once and self._stdin is not None:
            self.close_stdin()
            return True
        return False

    def close_stdin(self) -> None:
        """Close stdin; the container reads its end once the daemon has closed its duplicates too."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    # --- adopted from another monitor -------------------------------------------------------------

    def recover(self, chunk: Chunk) -> None:
        """Log what the other monitor had read and not logged when it died."""
        stream = self.streams.get(chunk.stream)
        if stream is not None:
            stream.recover(chunk)

    def watch_pidfd(self) -> None:
        """Learn of the end from the pidfd, for a process that is not our child."""
        self._reactor.watch(self._pidfd, READ, self._adopted_ended)

    def _adopted_ended(self) -> None:
        self._reactor.unwatch(self._pidfd)
        self._ask_exit_code(time.monotonic() + _UNKNOWN_AFTER_S)

    def _ask_exit_code(self, deadline: float) -> None:
        """The kernel tells once the parent has reaped; the daemon tells if it was the parent."""
        if self.ended:
            return
        code = pidfd_exit_code(self._pidfd)
        if code is None and time.monotonic() < deadline:
            self._reactor.later(_POLL_S, lambda: self._ask_exit_code(deadline))
        else:
            self.finish(code)

    # --- the end ----------------------------------------------------------------------------------

    def reaped(self, wait_status: int) -> None:
        """Our child, the first process, has ended."""
        self.finish(exit_code_of(wait_status))

    def finish(self, exit_code: int | None) -> None:
        """The first process has ended: take what is left of its output, then complete the record."""
        if self.ended:
            return
        self._oom_killed = self._oom_kills.at_end(killed=exit_code == SIGKILLED)
        self._exit_code = exit_code
        self._ended_at_ns = time.time_ns()
        self._reactor.unwatch(self._pidfd)
        started = time.monotonic()
        for stream in list(self.streams.values()):
            stream.drain()
        self._reactor.later(_DRAIN_S, lambda: self._drain_time_is_up(started))
        self._stream_ended()

    def _drain_time_is_up(self, started: float) -> None:
        if self._drained:
            return
        stalled = any(stream.stalled and not stream.ended for stream in self.streams.values())
        if stalled and time.monotonic() - started < _DRAIN_STALLED_S:
            self._reactor.later(_DRAIN_S, lambda: self._drain_time_is_up(started))
            return
        if stalled:
            complain(f"log of {self.record.id} is incomplete: the disk does not take it")
        for stream in list(self.streams.values()):
            stream.close()

    def _stream_ended(self) -> None:
        if not self.ended or self._drained or any(not stream.ended for stream in self.streams.values()):
            return
        self._drained = True
        self.record = self.record._replace(
            state=after(State(self.record.state), Event.ENDED),
            started_at_ns=self.record.started_at_ns or self._starting_at_ns,
            finished_at_ns=self._ended_at_ns,
            exit_code=self._exit_code,
            oom_killed=self._oom_killed,
        )
        self._release()
        self._on_exited(self)

    def _release(self) -> None:
        self.close_stdin()
        close_all([self._pidfd])
        self._oom_kills.close()
        if self._log is not None:
            self._log.close()
