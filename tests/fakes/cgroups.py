"""Cgroups as files of the World; limits are taken and forgotten."""

from dataclasses import dataclass

from host import cgroup_limits
from host.cgroup_limits import Limits
from host.cgroup_stats import MemoryUsage
from host.cgroups import CgroupBusy, Hierarchy
from tests.fakes.monitor import FakeMonitor
from tests.fakes.world import World


@dataclass(frozen=True)
class FakeHierarchy(Hierarchy):
    """As much of it as the verbs and the cgroupfs driver use."""

    world: World
    monitor: FakeMonitor

    def kill(self, path: str) -> bool:
        """All processes in ``path`` end."""
        with self.world.change("cgroup killed"):
            self.monitor.end_in(path)
        return True

    def remove(self, path: str) -> None:
        for name in self.world.names("processes"):
            if self.world.file("processes", name).read_text() == path:
                raise CgroupBusy(f"cgroup {path} still holds processes of {name}")
        self.world.take("cgroups", path)

    def apply(self, path: str, limits: Limits) -> None:
        with self.world.change("limits written"):
            pass

    def limits(self, path: str, like: Limits = cgroup_limits.NOTHING) -> Limits:
        return Limits()

    def is_frozen(self, path: str) -> bool:
        return False

    def memory(self, path: str) -> MemoryUsage | None:
        return None
