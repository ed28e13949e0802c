"""Files of runtime commands that are running: ``<directory>/scratch/<daemon's pid>-<number>.<suffix>``.

The directory is a tmpfs of its own where one may be mounted, so that exec goes on when /run is full.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from host.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, is_mountpoint, mount_tmpfs, umount_if_mounted

log = logging.getLogger(__name__)

# What commands that run at once need together: process documents with arguments and environment, logs.
_SIZE_BYTES = 64 << 20


class Scratch:
    """Names for scratch files; they are short, for a console socket's path has 107 bytes at most."""

    def __init__(self, directory: Path) -> None:
        """Use ``directory``, which the monitor makes."""
        self._directory = directory
        self._numbers = itertools.count(1)

    def name(self) -> str:
        """A name that nobody else has while this process lives."""
        return f"{os.getpid()}-{next(self._numbers)}"

    @contextlib.contextmanager
    def files(self, *suffixes: str) -> Iterator[tuple[str, ...]]:
        """Paths for one command's files; what is there is removed when it is over."""
        name = self.name()
        paths = tuple(f"{self._directory}/{name}.{suffix}" for suffix in suffixes)
        try:
            yield paths
        finally:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def mount(self) -> None:
        """Have the tmpfs, unless files lie there or mounting is not ours to do. Idempotent."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_mountpoint(self._directory) and not any(self._directory.iterdir()):
                flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
                mount_tmpfs(self._directory, f"mode=0700,size={_SIZE_BYTES}", flags)
        except OSError as error:
            log.warning("%s is not mounted apart, exec needs room on /run: %s", self._directory, error)

    def unmount(self) -> None:
        """Give it back when no command runs any more."""
        with contextlib.suppress(OSError):
            umount_if_mounted(self._directory)

    def sweep(self) -> None:
        """Remove what commands of a daemon that died have left; only while no command runs."""
        for path in self._directory.iterdir():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
