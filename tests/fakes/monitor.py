"""A monitor without a process: containers are files of the World, and any signal ends one."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from api.ids import ContainerId
from oci.monitor.handles import Attachment, ExecHandle
from oci.monitor.protocol import Json, Record, parse_record
from oci.monitor.types import (
    CreateContainer,
    Created,
    ExecFinished,
    Exited,
    MonitorFailed,
    NotLive,
    UnknownContainer,
)
from oci.runtime import Runtime, RuntimeFailed
from tests.fakes.world import World

PID = (1 << 22) + 1  # of no process: the kernel gives out none beyond 1 << 22


class FakeMonitor:
    """See cri.parts.Monitor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lost = 0
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        for name in world.names("execs"):
            world.take("execs", name)  # nobody waits for it: the daemon that asked has gone

    async def create(self, spec: CreateContainer) -> Created:
        await asyncio.sleep(0)
        if self._path(spec.id).exists():
            raise MonitorFailed(f"container {spec.id} is watched already")
        try:
            document = json.loads((spec.bundle / "config.json").read_text())
        except FileNotFoundError as error:
            raise RuntimeFailed(spec.runtime.name, "create", spec.id, "config.json: No such file") from error
        cgroup = document["linux"]["cgroupsPath"]
        world = self._world
        with world.change("runtime create"):
            world.file("runtime", spec.id).write_text("")
            world.file("cgroups", cgroup).write_text("")
            world.file("processes", spec.id).write_text(cgroup)
            self._write(_record(spec))
        return Created(PID, 1)

    async def start(self, container_id: ContainerId, runtime: Runtime, timeout_s: float = 60.0) -> None:
        await asyncio.sleep(0)
        record = self._live(container_id)
        if record.state != "created":
            raise RuntimeFailed(runtime.name, "start", container_id, "the container is not running")
        with self._world.change("runtime start"):
            self._write(record._replace(state="running", started_at_ns=time.time_ns()))

    async def started(self, container_id: ContainerId) -> None:
        """Starts of this one are over before anybody can die."""

    async def signal(self, container_id: ContainerId, signo: int) -> None:
        await asyncio.sleep(0)
        if self._read(container_id).state == "exited":
            raise NotLive(f"container {container_id} has ended")
        with self._world.change("kill"):
            self.end(container_id, 128 + signo)

    def end(self, container_id: ContainerId, exit_code: int) -> None:
        """What happens when the container's process ends, by whatever."""
        record = self._read(container_id)
        self._world.file("processes", container_id).unlink(missing_ok=True)
        if record.state == "exited":
            return
        now = time.time_ns()
        self._write(record._replace(state="exited", exit_code=exit_code, finished_at_ns=now))
        exited = Exited(container_id, exit_code, now, oom_killed=False)
        if self._loop is None:
            self._exits.put_nowait(exited)  # nobody listens yet
        else:
            self._loop.call_soon_threadsafe(self._exits.put_nowait, exited)

    def end_in(self, cgroup: str) -> None:
        """All processes in a cgroup are killed."""
        for name in self._world.names("processes"):
            if self._world.file("processes", name).read_text() == cgroup:
                with contextlib.suppress(UnknownContainer):  # a runtime's, which no monitor has seen
                    self.end(ContainerId(name), 137)
                self._world.file("processes", name).unlink(missing_ok=True)

    async def list(self) -> list[Record]:
        await asyncio.sleep(0)
        found = [self._world.file("watched", name) for name in self._world.names("watched")]
        return [parse_record(json.loads(path.read_text())) for path in found]

    async def settle(self) -> None:
        """A command of before has ended: the fake's never last. What it left is swept."""
        for name in self._world.names("scratch"):
            self._world.take("scratch", name)

    async def forget(self, container_id: ContainerId) -> None:
        await asyncio.sleep(0)
        if not self._path(container_id).exists():
            return
        if self._read(container_id).state != "exited":
            raise MonitorFailed(f"container {container_id} is live")
        self._world.take("watched", f"{container_id}.json")

    async def exits(self) -> AsyncIterator[Exited]:
        self._loop = asyncio.get_running_loop()
        while True:
            yield await self._exits.get()

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
        """The command writes its words to its output and ends."""
        self._live(container_id)
        name = secrets.token_hex(8)
        with self._scratch(name):
            await asyncio.sleep(0)
            self._world.make("execs", name, container_id)
        finished = asyncio.get_running_loop().create_future()
        output = None if stdout is None else os.dup(stdout)
        asyncio.get_running_loop().call_soon(self._run, name, process, output, finished)
        return ExecHandle(pid=PID, console=None, finished=finished, kill=lambda: None)

    @contextlib.contextmanager
    def _scratch(self, name: str) -> Iterator[None]:
        self._world.make("scratch", name)
        try:
            yield
        finally:
            self._world.take("scratch", name)

    def _run(
        self, name: str, process: Json, output: int | None, finished: asyncio.Future[ExecFinished]
    ) -> None:
        args = process["args"]
        if output is not None and isinstance(args, list):
            os.write(output, f"{' '.join(map(str, args))}\n".encode())
            os.close(output)
        self._world.take("execs", name)
        finished.set_result(ExecFinished(0))

    async def attach(
        self,
        container_id: ContainerId,
        *,
        stdin: bool = False,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Attachment:
        raise NotLive(f"container {container_id} has no streams")

    async def reopen_log(self, container_id: ContainerId) -> None:
        self._live(container_id)

    async def settle_logs(self, directory: Path, timeout_s: float) -> Path:
        await asyncio.sleep(0)
        with self._world.change("log directory made"):
            directory.mkdir(parents=True, exist_ok=True)
        return directory.resolve()

    async def prepare_logs(self, directory: Path, timeout_s: float) -> int:
        return (await self.settle_logs(directory, timeout_s)).stat().st_dev

    async def remove_logs(self, directory: Path, timeout_s: float) -> None:
        await asyncio.sleep(0)
        with self._world.change("log directory removed"):
            shutil.rmtree(directory, ignore_errors=True)

    async def close_stdin(self, container_id: ContainerId) -> None:
        self._live(container_id)

    async def resize(self, container_id: ContainerId, width: int, height: int) -> None:
        raise NotLive(f"container {container_id} has no console")

    def _live(self, container_id: ContainerId) -> Record:
        record = self._read(container_id)
        if record.state == "exited":
            raise NotLive(f"container {container_id} has ended")
        return record

    def _path(self, container_id: str) -> Path:
        return self._world.file("watched", f"{container_id}.json")

    def _read(self, container_id: ContainerId) -> Record:
        try:
            return parse_record(json.loads(self._path(container_id).read_text()))
        except FileNotFoundError:
            raise UnknownContainer(f"no record of container {container_id}") from None

    def _write(self, record: Record) -> None:
        """Whole or not at all, as by a process of its own."""
        path = self._path(record.id)
        new = self._world.directory / f"{record.id}.{threading.get_ident()}"
        new.write_text(json.dumps(record._asdict()))
        new.rename(path)


def _record(spec: CreateContainer) -> Record:
    return Record(
        id=spec.id,
        runtime=spec.runtime.name,
        pid=PID,
        start_time=1,
        state="created",
        log_path=None if spec.log_path is None else str(spec.log_path),
        log_device=spec.log_device,
        log_size_max=spec.log_size_max,
        log_rate=spec.log_rate,
        log_timeout_s=spec.log_timeout_s,
        terminal=spec.terminal,
        stdin_once=spec.stdin_once,
        created_at_ns=time.time_ns(),
        started_at_ns=0,
        finished_at_ns=0,
        exit_code=None,
        oom_killed=False,
    )
