"""What every Monitor does (cri/parts.py): the fake of the crash matrix, and the real one over crun and runc.

A subclass has a fixture ``watched``.
"""

import asyncio
import contextlib
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from api.ids import ContainerId
from cri.parts import Monitor
from oci.monitor.types import CreateContainer, Exited, MonitorFailed, NotLive, UnknownContainer
from oci.runtime import Runtime, RuntimeFailed
from tests.harness.patience import patient

BOUND_S = 60


class Bundles(Protocol):
    """Makes what a container is created from."""

    def __call__(self) -> CreateContainer:
        """A container that sleeps until a signal ends it."""


@dataclass(frozen=True)
class Watched:
    """A monitor, the runtime of its containers, and their bundles."""

    monitor: Monitor
    runtime: Runtime
    bundle: Bundles

    async def create(self) -> ContainerId:
        spec = self.bundle()
        await self.monitor.create(spec)
        return spec.id

    async def states(self) -> dict[str, str]:
        return {record.id: record.state for record in await self.monitor.list()}

    async def exit_of(self, container_id: ContainerId) -> Exited:
        async with asyncio.timeout(patient(BOUND_S)):
            async for exited in self.monitor.exits():
                if exited.id == container_id:
                    return exited
        raise AssertionError("exits ended")

    async def end(self, container_id: ContainerId) -> None:
        """And take it away."""
        with contextlib.suppress(NotLive):
            await self.monitor.signal(container_id, signal.SIGKILL)
            await self.exit_of(container_id)
        await self.runtime.delete(container_id, force=True)
        await self.monitor.forget(container_id)


class MonitorContract:
    """Every test ends without containers."""

    async def test_a_record_follows_its_container(self, watched: Watched) -> None:
        container = await watched.create()
        assert await watched.states() == {container: "created"}
        await watched.monitor.start(container, watched.runtime)
        assert await watched.states() == {container: "running"}
        await watched.monitor.signal(container, signal.SIGKILL)
        exited = await watched.exit_of(container)
        assert (exited.exit_code, exited.oom_killed) == (137, False)
        assert await watched.states() == {container: "exited"}
        await watched.end(container)
        assert await watched.states() == {}

    async def test_a_container_that_was_never_started_ends_too(self, watched: Watched) -> None:
        container = await watched.create()
        await watched.monitor.signal(container, signal.SIGKILL)
        assert (await watched.exit_of(container)).exit_code == 137
        with pytest.raises(NotLive):
            await watched.monitor.start(container, watched.runtime)
        assert await watched.states() == {container: "exited"}
        await watched.end(container)

    async def test_an_id_is_watched_once(self, watched: Watched) -> None:
        spec = watched.bundle()
        await watched.monitor.create(spec)
        with pytest.raises(MonitorFailed):
            await watched.monitor.create(spec)
        assert await watched.states() == {spec.id: "created"}
        await watched.end(spec.id)

    async def test_a_failed_creation_leaves_no_record(self, watched: Watched) -> None:
        spec = watched.bundle()
        with pytest.raises(RuntimeFailed):
            await watched.monitor.create(replace(spec, bundle=spec.bundle / "elsewhere"))
        assert await watched.states() == {}

    async def test_nothing_is_done_to_the_unknown(self, watched: Watched) -> None:
        unknown = ContainerId("0" * 64)
        with pytest.raises(UnknownContainer):
            await watched.monitor.signal(unknown, signal.SIGKILL)
        with pytest.raises(UnknownContainer):
            await watched.monitor.reopen_log(unknown)
        await watched.monitor.forget(unknown)

    async def test_nothing_is_done_to_the_dead(self, watched: Watched) -> None:
        container = await watched.create()
        await watched.monitor.signal(container, signal.SIGKILL)
        await watched.exit_of(container)
        with pytest.raises(NotLive):
            await watched.monitor.signal(container, signal.SIGKILL)
        with pytest.raises(NotLive):
            await watched.monitor.reopen_log(container)
        await watched.end(container)

    async def test_the_living_are_not_forgotten(self, watched: Watched) -> None:
        container = await watched.create()
        with pytest.raises(MonitorFailed):
            await watched.monitor.forget(container)
        assert await watched.states() == {container: "created"}
        await watched.end(container)

    async def test_a_deletion_by_force_ends_what_runs(self, watched: Watched) -> None:
        container = await watched.create()
        await watched.monitor.start(container, watched.runtime)
        await watched.runtime.delete(container, force=True)
        assert (await watched.exit_of(container)).exit_code == 137
        await watched.runtime.delete(container, force=True)
        await watched.monitor.forget(container)
        assert await watched.states() == {}

    async def test_it_settles_when_no_command_runs(self, watched: Watched) -> None:
        container = await watched.create()
        await watched.monitor.settle()
        assert await watched.states() == {container: "created"}
        await watched.end(container)

    async def test_log_directories_are_made_and_removed(self, watched: Watched, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to("there")
        for _ in range(2):
            settled = await watched.monitor.settle_logs(tmp_path / "link/pod", 30)
            assert settled == tmp_path / "there/pod"
            assert await watched.monitor.prepare_logs(settled / "main", 30) == tmp_path.stat().st_dev
            assert (settled / "main").is_dir()
        for _ in range(2):
            await watched.monitor.remove_logs(settled, 30)
            assert list((tmp_path / "there").iterdir()) == []
