"""What the daemon, its monitor and its streaming process hold: descriptors and memory, read from /proc."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.harness.client import eventually
from tests.harness.daemon import Daemon

PATIENCE_S = 20.0


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
        eventually(daemon.log, lambda log: serves in log, "the streaming process serves", PATIENCE_S)
        return cls(daemon.pid, _helper_of(daemon, "oci.monitor"), streaming)

    def descriptors(self) -> dict[str, int]:
        """How many each has open."""
        return {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in self._named()}

    def until_no_more_than(self, before: Mapping[str, int]) -> None:
        """Wait until none has more descriptors than before."""
        eventually(
            self.descriptors,
            lambda now: all(now[name] <= before[name] for name in before),
            f"no more descriptors are open than before, {dict(before)}",
            PATIENCE_S,
        )

    def anonymous_bytes(self) -> dict[str, int]:
        """Memory of each, and of the log writers, that is backed by no file."""
        writers = Path(f"/proc/{self.monitor}/task/{self.monitor}/children").read_text().split()
        named = [(name, int(name)) for name in writers if _comm(name) == "podwright-logs"]
        return {name: _anonymous_bytes(pid) for name, pid in [*self._named(), *named]}

    def _named(self) -> list[tuple[str, int]]:
        return [("daemon", self.daemon), ("monitor", self.monitor), ("streaming", self.streaming)]


def _helper_of(daemon: Daemon, program: str) -> int:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if program in line and str(daemon.runroot) in line:
            return int(directory.name)
    raise LookupError(f"no {program} serves {daemon.runroot}")


def _comm(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _anonymous_bytes(pid: int) -> int:
    found = re.search(r"^Anonymous:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def inside(container: str) -> list[str]:
    """Command lines of the processes in a container's cgroup, its first one among them."""
    lines = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            groups = (directory / "cgroup").read_text()
            line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if container in groups and line:
            lines.append(line)
    return sorted(lines)
