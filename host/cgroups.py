"""Control groups by files (cgroupfs driver): version 1, hybrid and version 2 behind one object.

A cgroup is named by its path below every hierarchy ("/kubepods/burstable/pod1/<id>"). Version 1 has a tree
for each set of controllers, hybrid adds a version 2 tree beside them, version 2 is one tree. A controller
that the host lacks is an error only where a limit needs it. Everything here blocks briefly (create: 3 ms on
version 1), remove() and kill() may wait for the kernel up to their bound: call those in a thread.
"""

import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from api.errors import FailedPrecondition, InvalidArgument
from host import cgroup_limits, cgroup_stats
from host.cgroup_freezer import Freezer
from host.cgroup_limits import Limits
from host.cgroup_stats import MemoryUsage, OomSource, Stats
from host.lines import lines, read_table

if TYPE_CHECKING:
    from host.cgroup_io import DeviceIo

V2 = "unified"  # name of the version 2 tree, as /proc/<pid>/cgroup has no controller there
REMOVE_TRIES = 40
KILL_ROUNDS = 50


class BadCgroupPath(InvalidArgument):
    """A cgroup path that could name something outside, or the root itself."""


class CgroupBusy(FailedPrecondition):
    """A cgroup still has processes after the bounded wait."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One mounted hierarchy. ``controllers``: v1 names ("cpu", "name=systemd") or what v2's root offers."""

    root: Path
    controllers: frozenset[str]
    v2: bool = False


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """All mounted hierarchies; no state of its own, so it may be shared between threads."""

    trees: tuple[Tree, ...]

    @classmethod
    def detect(cls, mountinfo: str | None = None) -> Self:
        """Read the mounted hierarchies from ``mountinfo`` text, by default the caller's own."""
        text = read_table("/proc/self/mountinfo") if mountinfo is None else mountinfo
        return cls(tuple(_parse_mountinfo(text)))

    @property
    def version(self) -> int:
        """2 when there is only the unified tree; hybrid counts as 1, since its limits are version 1 files."""
        return 2 if self.trees and all(tree.v2 for tree in self.trees) else 1

    @property
    def controllers(self) -> frozenset[str]:
        """Every controller that some tree offers."""
        return frozenset[str]().union(*(tree.controllers for tree in self.trees))

    def directory(self, path: str, controller: str) -> Path | None:
        """Where files of ``controller`` for ``path`` lie; None when no tree has that controller."""
        for tree in self.trees:
            if controller in tree.controllers or (controller == V2 and tree.v2):
                return _below(tree.root, path)
        return None

    def directories(self, path: str) -> list[Path]:
        """One directory for each tree, whether it exists or not."""
        return [_below(tree.root, path) for tree in self.trees]

    def exists(self, path: str) -> bool:
        """Whether any hierarchy has ``path``."""
        return any(directory.is_dir() for directory in self.directories(path))

    def has_children(self, path: str) -> bool:
        """Whether there are cgroups below ``path``, in any hierarchy."""
        return any(len(list(_bottom_up(directory))) > 1 for directory in self.directories(path))

    def create(self, path: str) -> None:
        """Make ``path`` and its missing parents in every hierarchy; what is there stays as it is.

        A new cpuset on version 1 starts empty and can hold no process: CPUs and memory nodes are copied down.
        On version 2 the controllers are handed down level by level as far as the kernel allows.
        """
        for tree in self.trees:
            pure_v2 = tree.v2 and self.version == 2
            for parent, child in _levels(tree.root, path):
                if pure_v2:
                    _delegate(parent)
                child.mkdir(exist_ok=True)
                if not tree.v2 and "cpuset" in tree.controllers:
                    _inherit_cpuset(parent, child)

    def remove(self, path: str) -> None:
        """Remove ``path`` and all below it from every hierarchy; absent ones are fine.

        Raises:
            CgroupBusy: processes are still in it after about a second; kill() first.
            BadCgroupPath: ``path`` is the root.
        """
        _refuse_root(path)
        for directory in self.directories(path):
            for one in _bottom_up(directory):
                _rmdir(one)

    def pids(self, path: str) -> frozenset[int]:
        """The processes in ``path`` and below, in any hierarchy."""
        found: set[int] = set()
        for directory in self.directories(path):
            for one in _bottom_up(directory):
                found |= _procs(one)
        return frozenset(found)

    def kill(self, path: str) -> bool:
        """SIGKILL everything in ``path`` and below; True when nothing is left, False when some will not die.

        Raises:
            BadCgroupPath: ``path`` is the root.
        """
        _refuse_root(path)
        for tree in self.trees:
            if tree.v2:
                _write_if_there(_below(tree.root, path) / "cgroup.kill", "1")
        for attempt in range(KILL_ROUNDS):
            victims = self.pids(path)
            if not victims:
                return True
            self._kill_once(path, victims)
            self._thaw(path)
            time.sleep(min(0.002 * (attempt + 1), 0.02))
        return not self.pids(path)

    def _kill_once(self, path: str, victims: frozenset[int]) -> None:
        """Signal ``victims`` that are still members once their pidfd is open: no reused pid is hit."""
        handles: dict[int, int] = {}
        try:
            for pid in victims:
                try:
                    handles[pid] = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
            for pid in self.pids(path) & handles.keys():
                try:
                    signal.pidfd_send_signal(handles[pid], signal.SIGKILL)
                except ProcessLookupError:
                    continue
        finally:
            for handle in handles.values():
                os.close(handle)

    def _thaw(self, path: str) -> None:
        """A task in a frozen version 1 cgroup keeps its SIGKILL pending: let it run into it."""
        freezer = self.directory(path, "freezer")
        if freezer is not None:
            for directory in _bottom_up(freezer):
                _write_if_there(directory / "freezer.state", "THAWED")

    def is_frozen(self, path: str) -> bool:
        """Whether the processes in ``path`` stand still, or are to; one that is gone does not."""
        return self._freezer(path).is_frozen()

    def freeze(self, path: str, timeout_s: float = 5.0) -> None:
        """Have all processes in ``path`` and below stand still. Blocking.

        Raises:
            WillNotFreeze: some do not in time; all go on then.
        """
        self._freezer(path).freeze(timeout_s)

    def thaw(self, path: str) -> None:
        """Let the processes in ``path`` and below go on; those that do are fine. Blocking."""
        self._freezer(path).thaw()
        self._thaw(path)

    def _freezer(self, path: str) -> Freezer:
        for tree in self.trees:
            if tree.v2 and (_below(tree.root, path) / "cgroup.freeze").exists():
                return Freezer(_below(tree.root, path), v2=True)
        return Freezer(self.directory(path, "freezer"), v2=False)

    def apply(self, path: str, limits: Limits) -> None:
        """Set what ``limits`` names and leave the rest alone (host.cgroup_limits.apply)."""
        cgroup_limits.apply(lambda name: self.directory(path, name), self.version, limits)

    def limits(self, path: str, like: Limits = cgroup_limits.NOTHING) -> Limits:
        """The limits as the kernel has them now, of those named in mappings what ``like`` has; what is
        unlimited or unreadable is None."""
        return cgroup_limits.read(lambda name: self.directory(path, name), self.version, like)

    def stats(self, path: str) -> Stats:
        """All counters of ``path`` in one pass (host.cgroup_stats.read)."""
        return cgroup_stats.read(lambda name: self.directory(path, name), self.version)

    def usage(self, path: str) -> Stats:
        """The counters that the CRI reports (host.cgroup_stats.usage)."""
        return cgroup_stats.usage(lambda name: self.directory(path, name), self.version)

    def io(self, path: str) -> list["DeviceIo"]:
        """What ``path`` and below has read and written, by block device."""
        from host import cgroup_io  # for who asks for metrics of pods

        return cgroup_io.devices(lambda name: self.directory(path, name), self.version)

    def process_count(self, path: str) -> int:
        """How many processes are in ``path`` and below, by one hierarchy: a container is in all of them."""
        return len(self.members(path))

    def members(self, path: str) -> list[int]:
        """These processes; quicker than ``pids``, which asks every hierarchy."""
        trees = sorted(self.trees, key=lambda tree: "pids" not in tree.controllers)
        directories = (_below(tree.root, path) for tree in trees)
        top = next((directory for directory in directories if directory.is_dir()), None)
        return [] if top is None else [pid for one in _bottom_up(top) for pid in _procs(one)]

    def cpu_usage_ns(self, path: str) -> int | None:
        """CPU time used by ``path`` and below; None when it is gone or not counted."""
        return cgroup_stats.cpu_usage_ns(lambda name: self.directory(path, name), self.version)

    def memory(self, path: str) -> MemoryUsage | None:
        """Memory of ``path`` and below; None when it is gone or not counted."""
        return cgroup_stats.memory(lambda name: self.directory(path, name), self.version)

    def pids_current(self, path: str) -> int | None:
        """Threads and processes in ``path`` and below; None when it is gone or not counted."""
        return cgroup_stats.pids_current(lambda name: self.directory(path, name))

    def oom_source(self, path: str) -> OomSource | None:
        """Which file tells of out-of-memory kills in ``path``, and how to watch it."""
        return cgroup_stats.oom_source(lambda name: self.directory(path, name), self.version)

    def oom_kills(self, path: str) -> int | None:
        """How many processes of ``path`` the kernel has killed for memory; None when that is not counted."""
        return cgroup_stats.oom_kills(lambda name: self.directory(path, name), self.version)


def own_paths(text: str) -> dict[str, str]:
    """Path by controller out of /proc/<pid>/cgroup; version 2's is under V2."""
    paths: dict[str, str] = {}
    for line in lines(text):
        _, names, path = line.split(":", 2)
        for name in names.split(",") if names else (V2,):
            paths[name] = path
    return paths


def own_members(hierarchy: Hierarchy) -> Path | None:
    """The file of members of a cgroup that this process is in now, in any hierarchy; None when there is none
    that we see and may write to."""
    paths = own_paths(Path("/proc/self/cgroup").read_text())
    for tree in hierarchy.trees:
        for name in (V2,) if tree.v2 else tree.controllers:
            path = paths.get(name, "/..")  # outside the namespace it begins so
            file = tree.root / path.lstrip("/") / "cgroup.procs"
            if ".." not in file.parts and os.access(file, os.W_OK):
                return file
    return None


def stay(hierarchy: Hierarchy) -> None:
    """Move this process to the cgroup that it is in: nothing changes, and moves after it are quick for a
    while (see docs/adr/0025). May block for some 20 ms; refused is fine."""
    file = own_members(hierarchy)
    if file is not None:
        _write_if_there(file, "0")


def _parse_mountinfo(text: str) -> Iterator[Tree]:
    seen: set[frozenset[str]] = set()
    for line in lines(text):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root = Path(before.split(" ")[4].replace("\\040", " "))
        v2 = kind == "cgroup2"
        names = _v2_controllers(root) if v2 else _v1_controllers(options)
        key = frozenset({V2}) if v2 else names
        if key not in seen:
            seen.add(key)
            yield Tree(root, names, v2)


def _v1_controllers(options: str) -> frozenset[str]:
    ignored = {"rw", "ro", "xattr", "noprefix", "clone_children", "all", "none"}
    names = options.split(",")
    return frozenset(n for n in names if n not in ignored and not n.startswith("release_agent="))


def _v2_controllers(root: Path) -> frozenset[str]:
    try:
        return frozenset((root / "cgroup.controllers").read_text().split())
    except OSError:
        return frozenset()


def _below(root: Path, path: str) -> Path:
    parts = [part for part in path.split("/") if part]
    if ".." in parts or "\0" in path:
        raise BadCgroupPath(f"cgroup path {path!r} must not contain '..'")
    return root.joinpath(*parts)


def _refuse_root(path: str) -> None:
    if not path.strip("/."):
        raise BadCgroupPath(f"refusing to remove or kill the root cgroup (path {path!r})")


def _levels(root: Path, path: str) -> Iterator[tuple[Path, Path]]:
    """(parent, child) pairs from the top down to ``path``."""
    parent = root
    for part in _below(root, path).relative_to(root).parts:
        child = parent / part
        yield parent, child
        parent = child


def _delegate(directory: Path) -> None:
    """Enable in ``directory`` for its children every controller that it has itself.

    One at a time: a parent that holds processes refuses domain controllers (EBUSY), and the runtime that then
    lacks one says so better than we could.
    """
    try:
        available = set((directory / "cgroup.controllers").read_text().split())
        enabled = set((directory / "cgroup.subtree_control").read_text().split())
    except OSError:
        return
    for name in sorted(available - enabled):
        _write_if_there(directory / "cgroup.subtree_control", f"+{name}")


def _inherit_cpuset(parent: Path, child: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (child / name).read_text().strip():
            (child / name).write_text((parent / name).read_text())


def _write_if_there(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, text.encode())
    except OSError:
        return
    finally:
        os.close(descriptor)


def _bottom_up(directory: Path) -> Iterator[Path]:
    """``directory`` and what is below, deepest first; nothing when it is not there."""
    try:
        children = [
            Path(entry.path) for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return
    for child in children:
        yield from _bottom_up(child)
    yield directory


def _rmdir(directory: Path) -> None:
    """A cgroup stays busy for a moment after its last process was reaped: try again for about a second."""
    for attempt in range(REMOVE_TRIES):
        try:
            directory.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
        time.sleep(min(0.001 * (attempt + 1), 0.04))
    raise CgroupBusy(f"cgroup {directory} still holds processes {sorted(_procs(directory))[:10]}")


def _procs(directory: Path) -> set[int]:
    try:
        return {int(line) for line in (directory / "cgroup.procs").read_text().split()}
    except OSError:
        return set()
