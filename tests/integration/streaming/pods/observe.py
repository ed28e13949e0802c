"""What the daemon, its monitor and its streaming process hold: descriptors and memory, read from /proc."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from tests.harness import processes
from tests.harness.client import eventually
from tests.harness.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Served:
    """The three processes that a streaming session runs through."""

    daemon: int
    monitor: int
    streaming: int

    @classmethod
    def by(cls, daemon: Daemon) -> Self:
        """Find them; helpers by the directory in their command lines."""
        streaming = _helper_of(daemon, "cri.streaming.process")
        # Before it serves it has not made its event loop.
        serves = f"streaming process serves pid={streaming}"
        eventually(daemon.log, lambda log: serves in log, "the streaming process serves")
        return cls(daemon.pid, _helper_of(daemon, "oci.monitor"), streaming)

    def descriptors(self) -> dict[str, int]:
        """How many each has open."""
        return {name: processes.descriptor_count(pid) for name, pid in self._named()}

    def until_no_more_than(self, before: Mapping[str, int]) -> None:
        """Wait until none has more descriptors than before."""
        eventually(
            self.descriptors,
            lambda now: all(now[name] <= before[name] for name in before),
            f"no more descriptors are open than before, {dict(before)}",
        )

    def anonymous_bytes(self) -> dict[str, int]:
        """Memory of each, and of the log writers, that is backed by no file."""
        children = processes.children(self.monitor)
        named = [(str(pid), pid) for pid in children if processes.comm(pid) == "podwright-logs"]
        return {name: _anonymous_bytes(pid) for name, pid in [*self._named(), *named]}

    def _named(self) -> list[tuple[str, int]]:
        return [("daemon", self.daemon), ("monitor", self.monitor), ("streaming", self.streaming)]


def _helper_of(daemon: Daemon, program: str) -> int:
    found = processes.mentioning(program, str(daemon.runroot))
    if not found:
        raise LookupError(f"no {program} serves {daemon.runroot}")
    return found[0]


def _anonymous_bytes(pid: int) -> int:
    return (processes.smaps_kib(pid, "Anonymous") or 0) * 1024


def inside(container: str) -> list[str]:
    """Command lines of the processes in a container's cgroup, its first one among them."""
    lines = [processes.command_line(pid) for pid in processes.in_cgroup(container)]
    return sorted(line for line in lines if line)
