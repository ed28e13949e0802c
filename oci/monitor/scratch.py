"""Files of runtime commands that are running: ``<directory>/scratch/<daemon's pid>-<number>.<suffix>``."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path


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

    def sweep(self) -> None:
        """Remove what commands of a daemon that died have left; only while no command runs."""
        for path in self._directory.iterdir():
            path.unlink(missing_ok=True)
