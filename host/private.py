"""State for root alone: how Podwright's processes make files, and who else may reach which of them.

Daemon, monitor and subcommands run under umask 077, so that what they make is root's: directories 0700,
files 0600. What others must reach (a log, a volume, a file that a container shows) is made by
``public_directory`` or gets its mode by fchmod, never by the umask. ``claim`` holds for the top of a tree of
state: nobody else gets beyond it, whatever lies below, and what an earlier version left open is closed too.
"""

import logging
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from api.errors import FailedPrecondition

log = logging.getLogger(__name__)

PRIVATE_UMASK = 0o077
_OTHERS = 0o077


class SharedPlace(FailedPrecondition):
    """A directory of others was named as one for state."""


# Directories of the system (hier(7)): closing one of them would end it.
_SYSTEM = frozenset(
    (
        *("/", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32"),
        *(
            "/media",
            "/mnt",
            "/opt",
            "/proc",
            "/root",
            "/run",
            "/run/lock",
            "/run/user",
            "/sbin",
            "/srv",
            "/sys",
        ),
        *("/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin", "/usr/share"),
        *("/var", "/var/cache", "/var/lib", "/var/local", "/var/log", "/var/opt", "/var/run", "/var/spool"),
        "/var/tmp",
    )
)


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of state. Of ``crowded`` directories right below the top the entries are looked after too.

    Members of ``group`` may pass through the top, on the way to a socket, and read nothing there.
    """

    top: Path
    crowded: Collection[str] = ()
    group: int | None = None


def claim(tree: Tree) -> int:
    """Make the top of the tree if it is missing, and close all of it to others; how many modes were wrong.

    Looks two levels deep at most: the contents of layers and root file systems keep the modes of their
    images, behind directories that only root enters. Says in one line of the log what was repaired.

    Raises:
        SharedPlace: the top is a directory that everybody writes to, or that the whole system needs.
    """
    if not _made(tree.top):
        require_own(tree.top)
    wrong = _repair_top(tree)
    for path in sorted(tree.top.iterdir()):
        wrong += _repair(path)
        if path.name in tree.crowded:
            wrong += sum(_repair(each) for each in _directories(path))
    if wrong:
        log.warning(
            "others could reach state of an earlier version: repaired %d modes at and below %s",
            wrong,
            tree.top,
        )
    return wrong


def require_own(path: Path) -> None:
    """
    Raises:
        SharedPlace: closing this directory would close others' things.
    """
    real = Path(os.path.realpath(path))
    if str(real) in _SYSTEM or stat.S_IMODE(real.stat().st_mode) & stat.S_ISVTX:
        raise SharedPlace(f"{path} is not for Podwright alone: name a directory of its own below it")


def _made(top: Path) -> bool:
    """Make the directory, its parents too; False when it is there."""
    public_directory(top.parent)
    try:
        top.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _repair_top(tree: Tree) -> int:
    """The top's own mode and group; one that lets only another group pass than before counts as right."""
    status = tree.top.stat()
    mode, group = (0o700, 0) if tree.group is None else (0o710, tree.group)
    if (status.st_uid, status.st_gid) != (0, group) and os.geteuid() == 0:
        os.chown(tree.top, 0, group)
    if stat.S_IMODE(status.st_mode) == mode:
        return 0
    tree.top.chmod(mode)
    return int(stat.S_IMODE(status.st_mode) not in (0o700, 0o710))


def _repair(path: Path) -> int:
    """Close a directory or file; links and sockets stay, the latter have modes for those who connect."""
    try:
        mode = path.lstat().st_mode
        if not mode & _OTHERS or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return 0
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
    except FileNotFoundError:
        return 0  # another process of ours works here too
    return 1


def _directories(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def public_directory(path: Path, mode: int = 0o755) -> None:
    """Have the directory, its parents too: those that are missing get ``mode``, others stay as they are."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            continue  # somebody was faster, or it is no directory: the next step or its user tells
        directory.chmod(mode)
