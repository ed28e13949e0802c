"""A runtime whose commands the fake monitor carries out; what the daemon runs by itself is the deletion."""

from pathlib import Path

from api.ids import ContainerId
from cri.handlers import Handlers
from oci.cli import CliRuntime, Kind
from oci.generate.inputs import RuntimeView
from tests.fakes.monitor import FakeMonitor
from tests.fakes.world import World


class FakeRuntime(CliRuntime):
    """Deletes what FakeMonitor has created."""

    world: World
    monitor: FakeMonitor

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """With its processes, as by force."""
        if not self.world.file("runtime", container_id).exists():
            return
        with self.world.change("runtime delete"):
            if self.world.file("processes", container_id).exists():
                self.monitor.end(ContainerId(container_id), 137)
            self.world.file("runtime", container_id).unlink()


class FakeHandlers(Handlers):
    """One of them, which does all by itself what runtimes can."""

    def view(self, name: str) -> RuntimeView:
        return RuntimeView()


def handlers(world: World, monitor: FakeMonitor, state: Path) -> Handlers:
    """As those of a node that has runc alone."""
    runtime = FakeRuntime("runc", Path("/usr/bin/runc"), state, Kind.RUNC)
    object.__setattr__(runtime, "world", world)
    object.__setattr__(runtime, "monitor", monitor)
    return FakeHandlers({"runc": runtime}, "runc")
