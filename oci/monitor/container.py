"""One live container in the monitor: its descriptors, and what happens from its exit to its record.

created ──start──▶ running ──init process ends──▶ draining ──log complete, or its time is up──▶ exited
   └──────────────────────────────────────────────▲

What the next monitor must know of it, should this one and the daemon die, is what :meth:`kept` gives.

Its output is read by a log writer. If that does not complete the log in time, since a file system is full or
hangs, the exit is told all the same; the writer keeps the rest, and writes it when it can.
"""

import itertools
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from host.pty import set_window_size
from host.spawn import exit_code_of, pidfd_exit_code
from oci.monitor.kept import UNKNOWN_PAST, KeptContainer, Past, encode
from oci.monitor.oom import Counters as OomCounters
from oci.monitor.protocol import Record
from oci.monitor.reactor import READ, Reactor, Timer, complain
from oci.monitor.writers import Done, Output, Writer
from oci.states import Event, State, after

_DRAIN_MIN_S = 0.5  # also where the file system has hung for long
_UNKNOWN_AFTER_S = 3.0  # for the parent of an adopted process to reap it
_POLL_S = 0.05
SIGKILLED = 128 + signal.SIGKILL


class ContainerError(Exception):
    """The container lacks what was asked for, or has ended."""


class Container:
    """A container from the end of create until its log is complete; then only its record stays.

    ``descriptors`` are its pidfd and perhaps stdin, which are taken over; the streams are the output's.
    """

    def __init__(
        self,
        reactor: Reactor,
        writer: Writer,
        record: Record,
        output: Output,
        oom_counters: OomCounters,
        descriptors: Mapping[str, int],
        on_exited: Callable[["Container"], None],
        on_changed: Callable[["Container"], None],
        past: Past = UNKNOWN_PAST,
    ) -> None:
        """``on_exited`` is called once, with the record complete; ``on_changed`` when :meth:`kept` gives
        something else than before. ``past`` is of one that an earlier monitor had."""
        self.record = record
        self._reactor = reactor
        self._writer = writer
        self._output = output
        self._on_exited = on_exited
        self._on_changed = on_changed
        self._pidfd = descriptors["pidfd"]
        self._stdin = descriptors.get("stdin")
        self._exited = False
        self._exit_code: int | None = None
        self._starting_at_ns = past.starting_at_ns
        self._ended_at_ns = 0
        self._drain_timer: Timer | None = None
        self._attachments: set[int] = set()
        self._first = time.monotonic_ns()  # greater than the numbers that an earlier monitor gave
        self._numbers = itertools.count(self._first)
        self._oom_kills = oom_counters.of(record.pid, past.oom_file)
        self._oom_killed = False

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
        held = dict(self._output.streams)
        if self._stdin is not None:
            held["stdin"] = self._stdin
        return {"pidfd": self._pidfd, **held, "journal": self._writer.journal}

    def kept(self) -> tuple[bytes, Sequence[int]]:
        """What the keeper holds of it; the descriptors stay ours."""
        held = self.descriptors()
        past = Past(
            self._starting_at_ns,
            self._oom_kills.path,
            self._ended_at_ns,
            self._exit_code,
            self._oom_killed,
        )
        return encode(KeptContainer(self.record, list(held), past)), list(held.values())

    def starting(self) -> None:
        """The runtime's start is about to begin; the process may run, and end, before that command does."""
        self._starting_at_ns = time.time_ns()
        self._on_changed(self)

    def not_starting(self) -> None:
        """It could not even begin."""
        self._starting_at_ns = 0
        self._on_changed(self)

    def started(self) -> None:
        """The runtime's start has succeeded."""
        if self.record.state == State.CREATED:
            state = after(State.CREATED, Event.STARTED)
            self.record = self.record._replace(state=state, started_at_ns=time.time_ns())
            self._on_changed(self)

    def signal(self, number: int) -> None:
        """Signal the first process.

        Raises:
            ContainerError: it has ended.
        """
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            raise ContainerError("its first process has ended") from None

    def reopen_log(self, done: Done) -> None:
        """Write to a new file at the log's path from now on; ``done`` when it is there, or why it is not."""
        if self._output.path is None:
            done(None)
        else:
            self._writer.reopen(self._output, self.record.log_timeout_s, done)

    def resize(self, width: int, height: int) -> None:
        """Set the console's window size.

        Raises:
            ContainerError: there is no console.
        """
        console = self._output.streams.get("console")
        if console is None:
            raise ContainerError("it has no console")
        set_window_size(console, width, height)

    def attach(self, sinks: Mapping[str, int], *, stdin: bool) -> tuple[int, int | None]:
        """Copy output to ``sinks`` (taken over, by stream name); gives the attachment's number and stdin.

        Raises:
            ContainerError: stdin is asked for and closed or absent.
        """
        borrowed = self._output.streams.get("console", self._stdin)
        if stdin and borrowed is None:
            raise ContainerError("its stdin is closed, or it was created without")
        number = next(self._numbers)
        self._attachments.add(number)
        self._writer.attach(self._output, number, sinks)
        return number, borrowed if stdin else None

    def detach(self, number: int) -> bool:
        """End an attachment, also one that ended with an earlier monitor; whether that closed stdin."""
        if number in self._attachments:
            self._attachments.remove(number)
            self._writer.detach(self._output, number)
        elif number >= self._first:
            return False
        if self.record.stdin_once and self._stdin is not None:
            self.close_stdin()
            return True
        return False

    def close_stdin(self) -> None:
        """Close stdin; the container reads its end once the daemon has closed its duplicates too."""
        if self._stdin is not None:
            stdin, self._stdin = self._stdin, None
            if not self._exited:
                self._on_changed(self)
            os.close(stdin)

    # --- adopted from another monitor -------------------------------------------------------------

    def go_on(self, past: Past) -> None:
        """Learn of the end from the pidfd, for no child of ours, or from the monitor before."""
        if self.record.state == State.CREATED and past.starting_at_ns:
            # How that start went, nobody knows; the runtime does.
            self.record = self.record._replace(started_at_ns=past.starting_at_ns)
        if past.ended_at_ns:
            self._oom_killed = past.oom_killed
            self._drain(past.exit_code, past.ended_at_ns)
        else:
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
        self._drain(exit_code, time.time_ns())
        self._on_changed(self)

    def _drain(self, exit_code: int | None, ended_at_ns: int) -> None:
        self._exit_code = exit_code
        self._ended_at_ns = ended_at_ns
        self._reactor.unwatch(self._pidfd)
        self._drain_timer = self._reactor.later(self._drain_time_s(), self._drain_time_is_up)
        self._writer.drain(self._output, self._complete)

    def _drain_time_s(self) -> float:
        """How long the log may take; what its file system has kept it waiting for already counts."""
        waited_s = max(
            (
                (time.time_ns() - one.since_ns) / 1e9
                for one in self._writer.stuck(_DRAIN_MIN_S)
                if one.id == self.record.id or not one.is_refused
            ),
            default=0.0,
        )
        return max(_DRAIN_MIN_S, self.record.log_timeout_s - waited_s)

    def _drain_time_is_up(self) -> None:
        if not self._exited:
            complain(
                f"log {self.record.log_path} of {self.record.id} is not complete: its file system does not "
                "take it. The container's end is told; the rest is kept, and written when that is possible"
            )
            self._complete()

    def _complete(self) -> None:
        """The log is complete, or its time is up."""
        if self._exited:
            return
        self._exited = True
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self.record = self.record._replace(
            state=after(State(self.record.state), Event.ENDED),
            started_at_ns=self.record.started_at_ns or self._starting_at_ns,
            finished_at_ns=self._ended_at_ns,
            exit_code=self._exit_code,
            oom_killed=self._oom_killed,
        )
        self.close_stdin()
        os.close(self._pidfd)
        self._oom_kills.close()
        self._on_exited(self)
