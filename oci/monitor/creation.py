"""One create in the monitor: the log is opened, then the runtime's command runs, then there is a container.

Each step may take its time or fail; a failure gives back what was made before it.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping

from host.spawn import CommandNotStarted, start_time
from oci.monitor import stdio
from oci.monitor.commands import Commands, Result, Task
from oci.monitor.peers import Answer
from oci.monitor.protocol import Create, Record
from oci.monitor.writer_words import Refusal
from oci.monitor.writers import Output, Writers
from oci.states import State

# Makes a container of a record, its output and its descriptors (taken over); gives those to answer with.
Made = Callable[[Record, Output, Mapping[str, int], float], Mapping[str, int]]


class Creation:
    """A create under way; calls ``over`` once, before it answers."""

    def __init__(
        self,
        answer: Answer,
        request: Create,
        writers: Writers,
        commands: Commands,
        made: Made,
        over: Callable[[], None],
    ) -> None:
        """Begun by :meth:`begin`."""
        self._answer = answer
        self._request = request
        self._writers = writers
        self._commands = commands
        self._made = made
        self._over = over
        self._output = Output(
            request.id, request.log_path, request.log_size_max, request.log_rate, request.log_device
        )

    def begin(self) -> None:
        """Open the log if there is one."""
        if self._request.log_path is None:
            self._run()
        else:
            writer = self._writers.of(self._request.log_device)
            writer.open(self._output, self._request.log_timeout_s, self._opened)

    def _opened(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._fail(*refusal)
        elif self._answer.peer.is_open:
            self._run()
        else:  # nobody would hear of the container
            self._drop_log()
            self._over()

    def _fail(self, kind: str, message: str) -> None:
        self._over()
        self._answer.failed(kind, message)

    def _run(self) -> None:
        """Run the runtime's create with fresh pipes or a console."""
        request = self._request
        io = None
        try:
            owner = (request.stdio_uid, request.stdio_gid)
            io = stdio.for_container(
                stdin=request.stdin,
                console_socket=request.console_socket,
                owner=owner if any(owner) else None,
            )

            def ended(result: Result, since: float) -> None:
                with self._answer.certain(), contextlib.closing(io):
                    self._ended(result, since, io)

            self._commands.run(
                Task(request.argv, request.runtime_log, request.timeout_s, request.inside),
                io.given,
                errors=io.errors,
                on_end=ended,
                on_begun=self._answer.begun,
            )
        except (OSError, CommandNotStarted) as error:
            if io is not None:
                io.close()
            self._drop_log()
            self._fail("failed", str(error))
            return
        io.started()

    def _drop_log(self) -> None:
        if self._request.log_path is not None:
            self._writers.of(self._request.log_device).drop(self._output)

    def _ended(self, result: Result, since: float, io: stdio.Stdio) -> None:
        """The command has ended; a success becomes a live container."""
        if result.status != 0 or result.timed_out:
            self._drop_log()
            self._over()
            self._answer.done(result.as_reply())
            return
        pidfd = -1
        try:
            pid = _read_pid(self._request.pid_file)
            io.take_console()
            pidfd = os.pidfd_open(pid)
            record = _new_record(self._request, pid)
        except (OSError, ValueError) as error:
            if pidfd >= 0:  # it was reaped in between
                os.close(pidfd)
            self._drop_log()
            self._fail("failed", f"create left no process behind: {error}")
            return
        self._over()
        held = self._made(record, self._output, {"pidfd": pidfd, **io.take_kept()}, since)
        fields = {**result.as_reply(), "record": record._asdict(), "streams": list(held)}
        self._answer.done(fields, list(held.values()))


def _read_pid(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


def _new_record(request: Create, pid: int) -> Record:
    return Record(
        id=request.id,
        runtime=request.runtime,
        pid=pid,
        start_time=start_time(pid),
        state=State.CREATED,
        log_path=request.log_path,
        log_device=request.log_device,
        log_size_max=request.log_size_max,
        log_rate=request.log_rate,
        log_timeout_s=request.log_timeout_s,
        terminal=request.console_socket is not None,
        stdin_once=request.stdin_once,
        created_at_ns=time.time_ns(),
        started_at_ns=0,
        finished_at_ns=0,
        exit_code=None,
        oom_killed=False,
    )
