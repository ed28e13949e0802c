"""What a tree occupies on disk, while whoever it belongs to goes on changing it."""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

_SECTOR_BYTES = 512  # the unit of st_blocks
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_Identity = tuple[int, int]  # device and inode


@dataclass(slots=True)
class _Level:
    """A directory on the way from the top to where the walk is."""

    name: str
    identity: _Identity
    pending: list[str]  # its directories that are still to be visited


@dataclass(slots=True)
class _Sum:
    bytes: int = 0
    inodes: int = 0
    linked: set[_Identity] = field(default_factory=set)

    def add(self, found: os.stat_result) -> None:
        """Count an entry, one with several links only once."""
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if _identity(found) in self.linked:
                return
            self.linked.add(_identity(found))
        self.bytes += found.st_blocks * _SECTOR_BYTES
        self.inodes += 1


def disk_usage(directory: Path) -> tuple[int, int]:
    """Bytes on disk and inodes of a tree, its top included; hard links count once. Blocking.

    Entries that vanish or become something else meanwhile are passed over. The tree may belong to somebody
    hostile: no link is followed, however late it took a directory's place, and depth is limited neither by
    the length of a path nor by descriptors, of which the walk holds a handful.

    Raises:
        OSError: ``directory`` is none, or the file system fails.
    """
    counted = _Sum()
    top = os.open(directory, _DIRECTORY)
    try:
        counted.add(os.fstat(top))
        _walk(top, counted)
    finally:
        os.close(top)
    return counted.bytes, counted.inodes


def _walk(top: int, counted: _Sum) -> None:
    current = os.dup(top)
    try:
        levels = [_enter(current, "", counted)]
        while levels[-1].pending or len(levels) > 1:
            if levels[-1].pending:
                name = levels[-1].pending.pop()
                reached = _open(current, name)
            else:
                name = ""
                levels.pop()
                reached = _ascend(top, current, levels)
            if reached is None:
                continue
            os.close(current)
            current = reached
            if name:
                levels.append(_enter(current, name, counted))
    finally:
        os.close(current)


def _enter(directory: int, name: str, counted: _Sum) -> _Level:
    """Count the entries of a directory that the walk has come to."""
    level = _Level(name, _identity(os.fstat(directory)), [])
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                counted.add(found)
                if stat.S_ISDIR(found.st_mode):
                    level.pending.append(entry.name)
    return level


def _ascend(top: int, current: int, levels: list[_Level]) -> int:
    """A descriptor of the last of ``levels``, which was the parent of ``current``.

    When ``current`` was moved elsewhere, by the names from the top; levels that were moved are given up.
    """
    above = _open(current, "..", levels[-1].identity)
    if above is not None:
        return above
    reached = os.dup(top)
    try:
        for depth, level in enumerate(levels[1:], start=1):
            below = _open(reached, level.name, level.identity)
            if below is None:
                del levels[depth:]
                break
            os.close(reached)
            reached = below
    except BaseException:
        os.close(reached)
        raise
    return reached


def _open(parent: int, name: str, identity: _Identity | None = None) -> int | None:
    """The directory ``name``; None when it is gone, is something else, or is not ``identity``."""
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno in _CHANGED:
            return None
        raise
    if identity is None or _identity(os.fstat(descriptor)) == identity:
        return descriptor
    os.close(descriptor)
    return None


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino
