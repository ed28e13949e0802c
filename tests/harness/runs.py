"""What a run of the harness may leave on the machine, kept together so that it can be taken away.

    /var/tmp/podwright-run-<random>/            files of its daemons; locked (flock) while the run lives
    <version 1 hierarchy>/podwright-run-<random>/   all cgroups made in the run, which sees it as the root;
                                                locked like that one

Processes, mounts and links of a run end with its namespaces. These two outlive it: whoever guards the run
takes them away at its end, and the next run does when the guard was killed too. Nothing is taken by its name
alone: a directory goes when its lock is free, a cgroup when besides no process is in it or below. They have
locks of their own, since a chroot may have another /var/tmp, and has the same hierarchies. Where version 2 is
mounted alone, cgroups are made beside those of others: only the real root may have both processes and limits.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from host.cgroups import Hierarchy
from tests.harness.patience import patient

PREFIX = "podwright-run-"
PLACE = Path("/var/tmp")
SCRATCH = "PODWRIGHT_SCRATCH"
REMOVE_TIMEOUT_S = patient(5)
POLL_S = 0.02


def scratch() -> Path:
    """Where files of tests go that are too large or too lasting for /run: of this run, or /var/tmp."""
    return Path(os.environ.get(SCRATCH, PLACE))


@dataclass(frozen=True, slots=True)
class Run:
    """A run that lives as long as this object's lock is held: until close(), or the end of the process."""

    name: str
    hierarchy: Hierarchy
    locks: list[int]
    place: Path = PLACE

    @classmethod
    def begin(cls, hierarchy: Hierarchy, place: Path = PLACE) -> Self:
        """Take away what killed runs left, then make this one's directory and cgroups."""
        name = PREFIX + secrets.token_hex(4)
        # Locked before it has the name that others look for.
        made = place / f".{name}"
        made.mkdir(mode=0o700)
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(place / name)
        run = cls(name, hierarchy, [lock], place)
        sweep(hierarchy, place)
        for directory in run.cgroups():
            run.locks.append(make_locked(directory))
            _inherit_cpuset(directory)
        return run

    @property
    def directory(self) -> Path:
        return self.place / self.name

    def cgroups(self) -> list[Path]:
        """The run's root in every hierarchy; none where only version 2 is mounted."""
        return cgroups_of(self.hierarchy, self.name)

    def close(self) -> None:
        """Take all of it away; its processes must have ended."""
        for directory in self.cgroups():
            _remove(directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        for lock in self.locks:
            os.close(lock)


def make_locked(cgroup: Path) -> int:
    """Make a cgroup and lock it; who sweeps may have found it before it was locked, and taken it away."""
    while True:
        cgroup.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if cgroup.is_dir() and os.path.samestat(os.fstat(lock), cgroup.stat()):
                return lock
            os.close(lock)


def cgroups_of(hierarchy: Hierarchy, name: str) -> list[Path]:
    """Where a run of that name has its cgroups."""
    return [] if hierarchy.version == 2 else hierarchy.directories(f"/{name}")


def sweep(hierarchy: Hierarchy, place: Path = PLACE) -> None:
    """Take away the directories and cgroups of runs that nobody guards any more."""
    names = {path.name for path in place.glob(f"{PREFIX}*")}
    if hierarchy.version != 2:
        names |= {path.name for tree in hierarchy.trees for path in tree.root.glob(f"{PREFIX}*")}
    for name in sorted(names):
        with _if_free(place / name) as free:
            if free and not hierarchy.pids(f"/{name}"):
                for directory in cgroups_of(hierarchy, name):
                    _sweep_cgroup(directory)
                shutil.rmtree(place / name, ignore_errors=True)


def _sweep_cgroup(directory: Path) -> None:
    with _if_free(directory) as free:
        if free:
            _remove(directory)


@contextlib.contextmanager
def _if_free(directory: Path) -> Iterator[bool]:
    """Whether nobody holds its lock, which is held meanwhile; a directory that is gone is free."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def _inherit_cpuset(directory: Path) -> None:
    """A new cpuset of version 1 is empty and can hold no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (directory / name).exists():
            (directory / name).write_text((directory.parent / name).read_text())


def _remove(cgroup: Path) -> None:
    """Remove it and all below it; the kernel may need a moment after the last process."""
    end = time.monotonic() + REMOVE_TIMEOUT_S
    while cgroup.is_dir():
        for directory, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        if time.monotonic() > end:
            return
        if cgroup.is_dir():
            time.sleep(POLL_S)
