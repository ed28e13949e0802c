"""Full disks: the reserves of runroot and root, and what a call says that failed for want of room.

``explain`` turns an error that came of it, whoever noticed it first, into one that names the full place and
the way out. ``keep`` makes reserves again that were given up (host/reserve.py).
"""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from api.errors import ResourceExhausted
from conf.schema import Config
from host.reserve import Reserve, is_exhaustion, lacks_threads

_RENEW_S = 10.0
# Less than this is no room to make anything; a runtime needs some pages, an overlay an inode or ten.
_FULL_BYTES = 64 << 10
_FULL_INODES = 16
# With these SQLite may mean a full disk or a broken one.
_DISK = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
# How programs and kernels that we run put it (strerror).
_WORDS = ("no space left on device", "disk quota exceeded", "too many open files", "cannot allocate memory")


class OutOfRoom(ResourceExhausted):
    """Something that this node has only so much of has run out."""


class Space:
    """The disks that the daemon writes to."""

    def __init__(self, config: Config) -> None:
        self.runroot = Reserve(config.runroot, config.reserve_size)
        self.root = Reserve(config.root, config.reserve_size)

    @property
    def _reserves(self) -> tuple[Reserve, Reserve]:
        return self.runroot, self.root

    def renew(self) -> None:
        """Make the reserves that are not there, where there is room. Blocking."""
        for reserve in self._reserves:
            reserve.renew()

    async def keep(self) -> None:
        """For ever: look after the reserves."""
        while True:
            if not all(reserve.whole for reserve in self._reserves):
                await asyncio.to_thread(self.renew)
            await asyncio.sleep(_RENEW_S)

    def problems(self) -> list[str]:
        """What is full or has no reserve; for Status."""
        found = [f"{text}: {_WAY_OUT}" for text in full_places(self._places)]
        found += [
            f"no reserve on {one.directory}: it is made again when there is room"
            for one in self._reserves
            if not one.whole
        ]
        return found

    @property
    def _places(self) -> tuple[Path, ...]:
        return tuple(one.directory for one in self._reserves)

    def explain(self, error: Exception) -> Exception:
        """``error`` itself, or what to say in its place if it came of a full disk or the like."""
        if isinstance(error, ResourceExhausted) or not _is_exhausted(error):
            return error
        full = full_places(self._places)
        if isinstance(error, sqlite3.Error) and not full and error.sqlite_errorcode & 0xFF in _DISK:
            return error  # a disk that is broken, not full
        where = f"; {'; '.join(full)}: {_WAY_OUT}" if full else ""
        explained = OutOfRoom(f"{_words(error)}{where}")
        for note in getattr(error, "__notes__", ()):
            explained.add_note(note)
        return explained


_WAY_OUT = "make room there, or remove pods and images, which works even now; then ask again"


def _is_exhausted(error: BaseException) -> bool:
    """By its number, or by the words of a program that has told us no number; causes count too."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        if is_exhaustion(seen) or any(words in text for words in _WORDS):
            return True
        seen = seen.__cause__
    return False


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if lacks_threads(error):
        return f"{error}: raise TasksMax of the daemon, or the limit on pids of its cgroup"
    return str(error) or type(error).__name__


def full_places(places: Sequence[Path]) -> list[str]:
    """``<path> is full (0 bytes, 12 inodes free)`` for each place that is."""
    found = []
    for place in places:
        try:
            stat = os.statvfs(place)
        except OSError:
            continue
        free = stat.f_bavail * stat.f_frsize
        if free < _FULL_BYTES or (stat.f_files > 0 and stat.f_favail < _FULL_INODES):
            found.append(f"{place} is full ({free} bytes, {stat.f_favail} inodes free)")
    return found
