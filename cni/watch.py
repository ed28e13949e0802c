"""Tells when something in a few directories changes (inotify), after a moment of quiet."""

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from host.syscalls import libc, raise_errno

_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC
# IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ATTRIB
_EVENTS = 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x4
_QUIET_S = 0.1
_log = logging.getLogger(__name__)


class Watch:
    """Watches directories from the running loop; ``changed`` is called on it, once for a burst of events."""

    def __init__(
        self, directories: Sequence[Path], changed: Callable[[], None], quiet_s: float = _QUIET_S
    ) -> None:
        self._directories = tuple(directories)
        self._changed = changed
        self._quiet_s = quiet_s
        self._descriptor = -1
        self._watched: set[int] = set()
        self._pending: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch, unless it has begun; a directory that is not there waits for ``renew``.

        Raises:
            OSError: the kernel gives no inotify instance.
        """
        if self._descriptor >= 0:
            return
        loop = asyncio.get_running_loop()
        self._descriptor = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._descriptor < 0:
            raise_errno("inotify_init1")
        self.renew()
        loop.add_reader(self._descriptor, self._readable)

    def close(self) -> None:
        """Stop; nothing is called any more."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def renew(self) -> bool:
        """Watch what is at the paths now; True when a directory is there that was not watched yet."""
        found = set()
        for directory in self._directories:
            watch = libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _EVENTS)
            if watch >= 0:
                found.add(watch)  # the same number for the same inode
            else:
                reason = os.strerror(ctypes.get_errno())
                _log.debug("directory is not watched path=%s reason=%s", directory, reason)
        fresh = not found <= self._watched
        self._watched = found
        return fresh

    def _readable(self) -> None:
        try:
            os.read(self._descriptor, 65536)  # what happened does not matter: everything is read again
        except BlockingIOError:
            return
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.call_later(self._quiet_s, self._settled)

    def _settled(self) -> None:
        self._pending = None
        self.renew()  # a directory that was replaced has a new inode
        self._changed()
