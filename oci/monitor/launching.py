"""The daemon's side of create and start: asked of the monitor, and finished without it should it die.

A runtime's command outlives a monitor, and what was asked for is answered by what it did (errands.py): a
create is given up, for its pipes are gone, once its command has ended; a start is what it became.
"""

import contextlib
import os
import time
from collections.abc import Iterator

from api.ids import ContainerId
from oci import orders
from oci.monitor import protocol
from oci.monitor.connection import Reply
from oci.monitor.errands import IN_VAIN_S, Errand
from oci.monitor.holdings import Holdings
from oci.monitor.link import Link
from oci.monitor.replies import CommandReply, CreateReply
from oci.monitor.scratch import Scratch
from oci.monitor.types import (
    CreateContainer,
    Created,
    MonitorFailed,
    MonitorUnavailable,
    NotLive,
    UnknownContainer,
)
from oci.orders import Files, Inside
from oci.runtime import ContainerGone, Runtime
from oci.states import Event, State, after

_STARTS = 3


class Launching:
    """create and start, by one monitor or the next."""

    def __init__(self, link: Link, holdings: Holdings, scratch: Scratch) -> None:
        """What is created is held in ``holdings``."""
        self._link = link
        self._holdings = holdings
        self._scratch = scratch

    async def create(self, spec: CreateContainer) -> Created:
        """See Monitor.create."""
        with self._scratch.files("log", "pid", "tty") as (log, pid_file, console):
            files = Files(log, pid_file, console if spec.terminal else "")
            request = _creation(spec, files)
            with self._holdings.expecting(spec.id):
                reply = await self._create(request)
                command = CommandReply.of(reply.result)
                command.require_success(spec.runtime, "create", spec.id, spec.timeout_s)
                record, streams = CreateReply.of(reply.result)
                self._holdings.keep(record, streams, reply.descriptors)
        return Created(record.pid, record.start_time)

    async def _create(self, request: protocol.Create) -> Reply:
        """A command whose monitor dies works in vain: nothing of it runs on when this fails."""
        timeout_s = request.timeout_s + request.log_timeout_s
        with contextlib.closing(Errand(request.argv, request.runtime_log, timeout_s)) as errand:
            try:
                return await self._link.request_once(request, timeout_s=timeout_s, on_begun=errand.begun)
            except MonitorUnavailable:
                await errand.end(IN_VAIN_S)
                raise

    async def start(self, container_id: ContainerId, runtime: Runtime, timeout_s: float) -> None:
        """See Monitor.start."""
        with self._scratch.files("log") as (log,):
            order, files = orders.Start(container_id), Files(log)
            argv, inside = runtime.command(order, files), encoded(runtime.inside(order, files))
            request = protocol.Start(container_id, argv, log, timeout_s, inside)
            for _ in range(_STARTS):
                result = await self._start(request, runtime)
                if result is not None:
                    break
            else:
                raise MonitorUnavailable(f"{_STARTS} monitors died while this was to be started")
        result.require_success(runtime, "start", container_id, timeout_s)

    async def _start(self, request: protocol.Start, runtime: Runtime) -> CommandReply | None:
        """One attempt: the command's result, or None when it has not been carried out."""
        with contextlib.closing(Errand(request.argv, request.runtime_log, request.timeout_s)) as errand:
            try:
                reply = await self._link.request_once(
                    request, timeout_s=request.timeout_s, on_begun=errand.begun
                )
            except MonitorUnavailable:
                if self._link.is_closed:
                    raise
                result = await self._what_became_of(errand, ContainerId(request.id), runtime)
                if result is not None and result.status == 0:
                    await self.tell_started(ContainerId(request.id))
                return result
        self._holdings.update(protocol.parse_record(reply.result["record"]))
        return CommandReply.of(reply.result)

    async def _what_became_of(
        self, errand: Errand, container_id: ContainerId, runtime: Runtime
    ) -> CommandReply | None:
        """The result of a start whose monitor died; None: the container waits to be started."""
        with self._process_of(container_id) as process:
            code = await errand.end_for(process)
        if errand.was_in_vain:
            raise NotLive(f"container {container_id[:13]} has ended")
        if code is None and not errand.timed_out:
            state = await runtime.state(container_id)
            if state is None and not errand.has_begun:
                raise ContainerGone(runtime.name, "start", container_id)
            status = None if state is None else state.get("status")
            has_begun = errand.has_begun or (state is not None and state.get("started") is True)
            if status == State.CREATED or (status != State.RUNNING and not has_begun):
                return None
            code = 0
        return CommandReply(code, errand.timed_out, errand.words())

    @contextlib.contextmanager
    def _process_of(self, container_id: ContainerId) -> Iterator[int | None]:
        """A pidfd of its first process, for the time of the block; None: it has ended."""
        held = self._holdings.find(container_id)
        pidfd = None if held is None else os.dup(held.streams["pidfd"].number)
        try:
            yield pidfd
        finally:
            if pidfd is not None:
                os.close(pidfd)

    async def tell_started(self, container_id: ContainerId) -> None:
        """The new monitor has it as created, or will have; one that has ended needs no more."""
        held = self._holdings.find(container_id)
        if held is not None and held.record.state == State.CREATED:
            state = after(State.CREATED, Event.STARTED)
            held.record = held.record._replace(state=state, started_at_ns=time.time_ns())
        with contextlib.suppress(NotLive, UnknownContainer, MonitorFailed, MonitorUnavailable):
            await self._link.request(protocol.Started(container_id))


def _creation(spec: CreateContainer, files: Files) -> protocol.Create:
    order = orders.Create(spec.id, str(spec.bundle), spec.no_pivot)
    return protocol.Create(
        id=spec.id,
        runtime=spec.runtime.name,
        argv=spec.runtime.command(order, files),
        pid_file=files.pid,
        runtime_log=files.log,
        console_socket=files.console or None,
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
        inside=encoded(spec.runtime.inside(order, files)),
    )


def encoded(inside: Inside | None) -> dict[str, object] | None:
    """For the wire."""
    return None if inside is None else inside.encode()
