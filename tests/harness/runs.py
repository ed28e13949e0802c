"""What a run of the harness may leave on the machine, kept together so that it can be taken away.

    /var/tmp/podwright-run-<random>/        files of its daemons; locked (flock) while the run lives
    <hierarchy>/podwright-run-<random>/     all cgroups made in the run, which sees it as the root; locked
        harness/                            of version 2: its processes, since one that has limits to give
                                            may have none itself

Processes, mounts and links of a run end with its namespaces. These two outlive it: whoever guards the run
takes them away at its end, and the next run does when the guard was killed too. Nothing is taken by its name
alone: a directory goes when its lock is free, a cgroup when besides no process is in it or below. They have
locks of their own, since a chroot may have another /var/tmp, and has the same hierarchies.
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
from host.namespaces import Kind, unshare
from tests.harness.patience import patient

PREFIX = "podwright-run-"
PLACE = Path("/var/tmp")
SCRATCH = "PODWRIGHT_SCRATCH"
REMOVE_TIMEOUT_S = patient(5)
POLL_S = 0.02
PROCESSES = "harness"


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
        hierarchy.create(f"/{name}")
        return run

    @property
    def directory(self) -> Path:
        return self.place / self.name

    def cgroups(self) -> list[Path]:
        """The run's root in every hierarchy."""
        return self.hierarchy.directories(f"/{self.name}")

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


def enter(hierarchy: Hierarchy, name: str) -> None:
    """Put this process into a run, whose cgroups it sees as the roots from now on."""
    for directory in hierarchy.directories(f"/{name}"):
        (directory / "cgroup.procs").write_text(str(os.getpid()))
    unshare([Kind.CGROUP])
    for tree in hierarchy.trees:
        if tree.v2:
            place = tree.root / name / PROCESSES
            place.mkdir()
            (place / "cgroup.procs").write_text(str(os.getpid()))


def sweep(hierarchy: Hierarchy, place: Path = PLACE) -> None:
    """Take away the directories and cgroups of runs that nobody guards any more."""
    names = {path.name for path in place.glob(f"{PREFIX}*")}
    names |= {path.name for tree in hierarchy.trees for path in tree.root.glob(f"{PREFIX}*")}
    for name in sorted(names):
        with _if_free(place / name) as free:
            if free and not hierarchy.pids(f"/{name}"):
                for directory in hierarchy.directories(f"/{name}"):
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
