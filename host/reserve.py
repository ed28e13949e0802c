"""Room on a disk that is kept for giving things back.

    <directory>/reserve/room      ``size_bytes`` of allocated blocks
    <directory>/reserve/<number>  empty: inodes that are kept

A full disk must not keep anybody from freeing it: deleting a row or renaming a directory needs a little room
itself. What frees is run by ``spend``, which gives the reserve up when there is no room left; ``renew`` makes
it again once there is more than enough. Only small, bounded work may live on it, never what makes something.
"""

import contextlib
import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from host.files import remove_tree

logger = logging.getLogger(__name__)
T = TypeVar("T")

_INODES = 15
# A reserve takes at most this part of its file system, and is made when this many times its size are free.
_LARGEST_PART = 16
_FREE_TIMES = 2
_LITTLE_BYTES = 256 << 10
_FREE_INODES = 4 * _INODES
# No room, or no descriptors or memory to find out.
_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# Without room SQLite cannot grow a file (FULL), its shared memory (IOERR), or make either (CANTOPEN).
_SQLITE = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM}
)
_SQLITE_PRIMARY = 0xFF


def is_exhaustion(error: BaseException) -> bool:
    """Whether something has run out that a machine has only so much of: room, descriptors, memory …"""
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", 0) & _SQLITE_PRIMARY) in _SQLITE
    if isinstance(error, RuntimeError):
        return lacks_threads(error)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _ERRNOS)


def lacks_threads(error: BaseException) -> bool:
    """Whether a thread could not be started; CPython has no type and no number for it."""
    return type(error) is RuntimeError and str(error) == "can't start new thread"


class Reserve:
    """The reserve of one directory; usable from any thread."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        """For the file system of ``directory``; nothing is made before ``renew``, and with 0 nothing ever."""
        self._directory = directory
        self._place = directory / "reserve"
        self._size_bytes = size_bytes
        self._lock = threading.Lock()

    @property
    def directory(self) -> Path:
        """What it is kept for."""
        return self._directory

    @property
    def whole(self) -> bool:
        """Whether it is there, or none is wanted."""
        return self._size_bytes <= 0 or (self._place / "room").exists()

    def spend(self, work: Callable[[], T]) -> T:
        """Do ``work``, which frees something, and again with the reserve given up if there is no room for it.

        ``work`` must bear repetition.
        """
        try:
            return work()
        except (OSError, sqlite3.Error) as error:
            if not is_exhaustion(error) or not self._give_up(error):
                raise
        return work()

    def spend_if_full(self) -> None:
        """Give it up if hardly anything is free: for a start, which makes small things before it can free."""
        found = os.statvfs(self._directory)
        if found.f_bavail * found.f_frsize < _LITTLE_BYTES or (found.f_files and found.f_favail < _INODES):
            self._give_up("hardly anything is free")

    def _give_up(self, cause: object) -> bool:
        with self._lock:
            if not self._place.exists():
                return False
            with contextlib.suppress(OSError):
                remove_tree(self._place)
        logger.warning(
            "%s is full: its reserve of %d bytes is given up, so that pods and images can be removed: %s",
            self._directory,
            self._size_bytes,
            cause,
        )
        return True

    def renew(self) -> bool:
        """Make it if it is not there and more than enough is free; whether it is whole then. Blocking."""
        with self._lock:
            if self.whole:
                return True
            try:
                if not self._is_affordable():
                    return False
                self._make()
            except OSError as error:
                logger.debug("no reserve on %s yet: %s", self._directory, error)
                remove_tree(self._place)
                return False
        logger.info("a reserve of %d bytes is kept on %s", self._size_bytes, self._directory)
        return True

    def _is_affordable(self) -> bool:
        found = os.statvfs(self._directory)
        size = min(self._size_bytes, found.f_blocks * found.f_frsize // _LARGEST_PART)
        inodes = found.f_files == 0 or found.f_favail >= _FREE_INODES  # btrfs counts none
        if size < self._size_bytes:
            self._size_bytes = max(size, found.f_frsize)
        return inodes and found.f_bavail * found.f_frsize >= _FREE_TIMES * self._size_bytes

    def _make(self) -> None:
        self._place.mkdir(mode=0o700, exist_ok=True)
        for number in range(_INODES):
            (self._place / str(number)).touch(mode=0o600)
        new = self._place / "room.new"
        descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
        finally:
            os.close(descriptor)
        new.rename(self._place / "room")
