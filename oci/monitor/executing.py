"""The daemon's side of exec: started by the monitor, and found again should that die.

Execs that run keep their deadlines and can be killed whichever monitor lives (exec_table.py).
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from api.ids import ContainerId
from host.fds import close_all, give_pipes
from oci import orders
from oci.monitor import protocol
from oci.monitor.errands import IN_VAIN_S, Errand
from oci.monitor.exec_table import Exec, Execs
from oci.monitor.handles import ExecHandle
from oci.monitor.launching import encoded
from oci.monitor.link import Link, open_pidfd
from oci.monitor.protocol import Json
from oci.monitor.replies import CommandReply, integer
from oci.monitor.scratch import Scratch
from oci.monitor.types import ExecFinished, MonitorUnavailable
from oci.orders import Files
from oci.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Wanted:
    """An exec that is wanted; see Monitor.exec. The descriptors are by stream, and the table's."""

    container_id: ContainerId
    runtime: Runtime
    process: Json
    descriptors: Mapping[str, int]
    start_timeout_s: float
    run_timeout_s: float
    stdio_owner: tuple[int, int]

    @property
    def terminal(self) -> bool:
        """Whether it gets a console instead of the descriptors."""
        return bool(self.process.get("terminal"))


class _Ran(NamedTuple):
    """How the command ended, what process it made, and that one's console if there is one."""

    command: CommandReply
    pid: int
    console: int | None = None


class Executing:
    """exec, by one monitor or the next."""

    def __init__(self, link: Link, execs: Execs, scratch: Scratch) -> None:
        """What runs is in the table ``execs``."""
        self._link = link
        self._execs = execs
        self._scratch = scratch

    async def exec(self, wanted: Wanted) -> ExecHandle:
        """See Monitor.exec; the descriptors are closed."""
        starting = asyncio.create_task(self._start(wanted))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half started it cannot be killed: nobody would know the process that the runtime is making.
            starting.add_done_callback(_kill_unwanted)
            raise

    async def _start(self, wanted: Wanted) -> ExecHandle:
        """Run the runtime's exec to its end."""
        running = self._execs.add(self._scratch.name(), wanted.run_timeout_s)
        try:
            give_pipes(wanted.descriptors.values(), wanted.stdio_owner)
            with self._scratch.files("log", "pid", "tty", "json") as (log, pid_file, console, process_file):
                content = json.dumps(wanted.runtime.prepare_process(wanted.process)).encode()
                Path(process_file).write_bytes(content)  # /run is memory: microseconds
                files = Files(log, pid_file, console if wanted.terminal else "", process_file)
                request = _execution(wanted, running.exec_id, files)
                ran = await self._run(request, list(wanted.descriptors.values()), running)
            ran.command.require_success(wanted.runtime, "exec", wanted.container_id, wanted.start_timeout_s)
        except BaseException:
            self._execs.drop(running)
            raise
        finally:
            close_all(wanted.descriptors.values())
        return ExecHandle(
            pid=ran.pid, console=ran.console, finished=running.finished, kill=lambda: self._kill(running)
        )

    async def _run(self, request: protocol.Exec, descriptors: Sequence[int], running: Exec) -> _Ran:
        with contextlib.closing(Errand(request.argv, request.runtime_log, request.timeout_s)) as errand:
            try:
                reply = await self._link.request_once(
                    request, descriptors, timeout_s=request.timeout_s, on_begun=errand.begun
                )
            except MonitorUnavailable:
                return await self._orphaned(request, errand, running)
        command = CommandReply.of(reply.result)
        if not reply.descriptors:
            return _Ran(command, 0)
        pidfd, *consoles = reply.descriptors
        pid = integer(reply.result, "pid")
        running.runs(pid, pidfd)
        if not self._link.is_connected:
            running.orphaned()  # that was the last thing its monitor said: nobody else tells its end
        return _Ran(command, pid, consoles[0] if consoles else None)

    async def _orphaned(self, request: protocol.Exec, errand: Errand, running: Exec) -> _Ran:
        """What became of an exec whose monitor died while its command ran. A console died with the monitor.

        Raises:
            MonitorUnavailable: it has no process, or none of use.
        """
        code = await errand.end(IN_VAIN_S if request.console_socket else None)
        pid = _pid_in(request.pid_file)
        pidfd = None if pid is None else open_pidfd(pid)
        if pid is not None and pidfd is not None:
            running.runs(pid, pidfd)
            running.orphaned()
        if errand.timed_out or request.console_socket:
            running.kill()
        if code is None and not errand.timed_out:
            code = None if pid is None else 0
        if (code is None and not errand.timed_out) or (request.console_socket and not code):
            raise MonitorUnavailable("the monitor went away before the process was started")
        if pidfd is None and code == 0:
            running.is_over(ExecFinished(None))  # it ended where nobody could see it
        return _Ran(CommandReply(code, errand.timed_out, errand.words()), pid or 0)

    def _kill(self, running: Exec) -> None:
        if not running.kill():
            self._link.post(protocol.ExecKill(running.exec_id))


def _execution(wanted: Wanted, exec_id: str, files: Files) -> protocol.Exec:
    order = orders.Exec(wanted.container_id)
    return protocol.Exec(
        id=wanted.container_id,
        exec_id=exec_id,
        argv=wanted.runtime.command(order, files),
        process_file=files.process,
        pid_file=files.pid,
        runtime_log=files.log,
        console_socket=files.console or None,
        streams=list(wanted.descriptors),
        timeout_s=wanted.start_timeout_s,
        run_timeout_s=wanted.run_timeout_s,
        oom_score_adj=int(str(wanted.process.get("oomScoreAdj", 0))),
        inside=encoded(wanted.runtime.inside(order, files)),
    )


def _kill_unwanted(starting: asyncio.Task[ExecHandle]) -> None:
    """End an exec whose caller left while it was started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill_now()
        starting.result().close()


def _pid_in(path: str) -> int | None:
    """What the runtime wrote of the process that it made, if it did."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
