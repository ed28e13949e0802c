"""Processes as /proc shows them, which may end at any moment: before, between and while their files are read.

Nothing here raises for that. Of a process that has ended, and of what has closed meanwhile, there is nothing
to tell: texts, lists and mappings are empty, numbers are None or 0, and its state is GONE. What may not be
seen is another matter: PermissionError.

A zombie has ended for those who wait until something is over (`has_ended`), but is there until it is reaped
(`is_there`); it has no command line, no cgroup to speak of, no descriptors and no memory.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

PROC = Path("/proc")
GONE = "gone"
ZOMBIE = "Z"

Pid = int | str  # a number, or "self"
T = TypeVar("T")


def everyone() -> list[int]:
    """All processes of the namespace that /proc is of, kernel threads too."""
    return sorted(int(name) for name in _names(PROC) if name.isdecimal())


def read_bytes(pid: Pid, name: str) -> bytes:
    """A file of the process's directory, such as ``limits`` or ``attr/current``."""
    return _unless_gone(lambda: _content(PROC / str(pid) / name), b"")


def read(pid: Pid, name: str) -> str:
    """The same as text."""
    return read_bytes(pid, name).decode(errors="replace")


def link(pid: Pid, name: str) -> str:
    """What a link of its directory names, such as ``cwd``, ``ns/net`` or ``fd/0``."""
    return _unless_gone(lambda: str((PROC / str(pid) / name).readlink()), "")


def comm(pid: Pid) -> str:
    """The name that the kernel knows it by."""
    return read(pid, "comm").removesuffix("\n")


def words(pid: Pid) -> list[str]:
    """Its command line; empty for kernel threads too, and for a moment after it was started."""
    return read(pid, "cmdline").split("\0")[:-1]


def command_line(pid: Pid) -> str:
    """The same as one text, words parted by blanks."""
    return read(pid, "cmdline").replace("\0", " ").strip()


def cgroup(pid: Pid) -> str:
    """The lines of its memberships, as cgroups(7) has them."""
    return read(pid, "cgroup")


def status(pid: Pid) -> Mapping[str, str]:
    """Field to value, as proc_pid_status(5) names them."""
    parted = (line.partition(":") for line in read(pid, "status").splitlines())
    return {key: value.strip() for key, _, value in parted}


def state(pid: Pid) -> str:
    """The letter of proc_pid_stat(5), ``Z`` for a zombie; GONE when it has been reaped."""
    after_name = read(pid, "stat").rpartition(")")[2].split()
    return after_name[0] if after_name else GONE


def has_ended(pid: Pid) -> bool:
    """It runs no more: a zombie, or gone."""
    return state(pid) in (ZOMBIE, GONE)


def is_there(pid: Pid) -> bool:
    """It runs, or is a zombie."""
    return state(pid) != GONE


def start_time(pid: Pid) -> int | None:
    """Clock ticks from boot to its start, which tell it from a later one with its number."""
    after_name = read(pid, "stat").rpartition(")")[2].split()
    return int(after_name[19]) if after_name else None


def cpu_ticks(pid: Pid) -> int:
    """What it has used, user and system, in clock ticks."""
    after_name = read(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, after_name[11:13]))


def smaps_kib(pid: Pid, kind: str) -> int | None:
    """A sum over its mappings, such as ``Anonymous`` or ``Private_Dirty``."""
    lines = read(pid, "smaps_rollup").splitlines()[1:]
    found = [line.split()[1] for line in lines if line.startswith(f"{kind}:")]
    return int(found[0]) if found else None


def children(pid: Pid) -> list[int]:
    """Of all its threads.

    The kernel may leave one out that stands behind another which is reaped meanwhile: wait until they are
    those that are wanted.
    """
    tasks = _names(PROC / str(pid) / "task")
    return sorted(int(one) for task in tasks for one in read(pid, f"task/{task}/children").split())


def descriptors(pid: Pid = "self") -> Mapping[int, str]:
    """Number to what it is of; of ``self`` without the one that looks."""
    numbers = _names(PROC / str(pid) / "fd")
    found = {int(number): link(pid, f"fd/{number}") for number in numbers}
    return {number: target for number, target in found.items() if target}


def descriptor_count(pid: Pid = "self") -> int:
    """How many it has open."""
    return len(descriptors(pid))


def those(is_it: Callable[[int], object]) -> list[int]:
    """The processes of which ``is_it`` is true."""
    return [pid for pid in everyone() if is_it(pid)]


def with_words(*wanted: str) -> list[int]:
    """Those with these words one after the other in their command lines."""
    text = "\0".join(("", *wanted, ""))
    return those(lambda pid: text in "\0" + read(pid, "cmdline"))


def mentioning(*texts: str) -> list[int]:
    """Those whose command lines contain each of these texts."""
    return those(lambda pid: all(text in command_line(pid) for text in texts))


def in_cgroup(part: str) -> list[int]:
    """Those that run in a cgroup whose path contains ``part``; no zombies."""
    return those(lambda pid: part in cgroup(pid) and not has_ended(pid))


def lock_holder(path: Path) -> int | None:
    """The process that holds the flock(2) of a file; None when nobody does, as between two holders."""
    found = path.stat()
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in _content(PROC / "locks").decode().splitlines():
        _, kind, _, _, pid, locked, *_ = line.split()
        if kind == "FLOCK" and locked == file and pid != "0":
            return int(pid)
    return None


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read()


def _names(directory: Path) -> list[str]:
    return _unless_gone(lambda: [each.name for each in directory.iterdir()], [])


def _unless_gone(look: Callable[[], T], otherwise: T) -> T:
    """ENOENT: it had been reaped before. ESRCH: it was while the file was open."""
    try:
        return look()
    except (FileNotFoundError, ProcessLookupError):
        return otherwise
