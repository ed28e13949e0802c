"""What processes have open, by /proc; one that ends meanwhile counts nothing."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_MAX_OPEN_FILES = "Max open files"


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """``soft_limit`` is that of the last process seen; None when it has none, or none was seen."""

    descriptors: int = 0
    sockets: int = 0
    soft_limit: int | None = None


def open_files(pids: Iterable[int], proc: Path = Path("/proc")) -> OpenFiles:
    """Added up over ``pids``. A system call for each descriptor."""
    descriptors = sockets = 0
    limit: int | None = None
    for pid in sorted(pids):
        try:
            found = [_target(entry) for entry in os.scandir(proc / str(pid) / "fd")]
            limits = (proc / str(pid) / "limits").read_text()
        except OSError:
            continue
        descriptors += len(found)
        sockets += sum(target.startswith("socket:") for target in found)
        limit = soft_limit(limits)
    return OpenFiles(descriptors, sockets, limit)


def _target(entry: "os.DirEntry[str]") -> str:
    try:
        return str(Path(entry.path).readlink())
    except OSError:
        return ""  # closed meanwhile


def soft_limit(limits: str) -> int | None:
    """Of open files, in the text of /proc/PID/limits; None when there is none."""
    for line in limits.splitlines():
        if line.startswith(_MAX_OPEN_FILES):
            soft = line.removeprefix(_MAX_OPEN_FILES).split()[0]
            return int(soft) if soft.isdigit() else None
    return None
