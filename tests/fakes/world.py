"""What outlives a daemon, as files below one directory: the state of all fakes.

    processes/<id>      a process that lives; its content is the path of its cgroup
    watched/<id>.json   the monitor's record
    runtime/<id>        the runtime's state
    cgroups/<name>      a cgroup, "/" written as "!"
    rootfs/<id>         the row of a root file system; mounts/<id> its mount
    leases/<id>, links/<id>, attachments/<id>   of the pod network
    execs/<id>          a command that runs in a container; scratch/<id> its files
    images/<id>, layers/<id>   of the store; they stay

Nothing is kept in memory, so a node that is built anew over the same directory finds what a crash has left.
Every change is announced before and after, by name: there a test may kill the process.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

KINDS = (
    *("processes", "watched", "runtime", "cgroups", "rootfs", "mounts"),
    *("leases", "links", "attachments", "execs", "scratch"),
)
STAYING = ("images", "layers")


def _nowhere(_: str) -> None:
    """Go on."""


class World:
    """The directory, and the announcement of changes."""

    def __init__(self, directory: Path, point: Callable[[str], None] = _nowhere) -> None:
        self.directory = directory
        self.point = point
        for kind in (*KINDS, *STAYING):
            (directory / kind).mkdir(parents=True, exist_ok=True)

    def file(self, kind: str, name: str) -> Path:
        return self.directory / kind / name.replace("/", "!")

    def names(self, kind: str) -> list[str]:
        return sorted(path.name for path in (self.directory / kind).iterdir())

    @contextmanager
    def change(self, what: str) -> Iterator[None]:
        """Announce before and after."""
        self.point(f"before {what}")
        with getattr(
            self.point, "silent", nullcontext
        )():  # another process does it, whatever becomes of this one
            yield
        self.point(f"after {what}")

    def make(self, kind: str, name: str, text: str = "") -> None:
        with self.change(f"{kind} made"):
            self.file(kind, name).write_text(text)

    def take(self, kind: str, name: str) -> None:
        """Remove it; one that is not there is fine."""
        if self.file(kind, name).exists():
            with self.change(f"{kind} removed"):
                self.file(kind, name).unlink(missing_ok=True)

    def left(self) -> list[str]:
        """All that is there and belongs to a pod or a container, or to no image."""
        found = [f"{kind} {name}" for kind in KINDS for name in self.names(kind)]
        return found + [f"layers {name}" for name in set(self.names("layers")) - set(self.names("images"))]
