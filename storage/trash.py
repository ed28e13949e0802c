"""What is in no list any more and still on disk: the slow part of a removal, which nobody has to wait for.

    <root>/ingest/<random>   where such a tree lies; what a crash leaves there is swept at the next start

A tree of few entries is removed at once. A larger one goes to a process of the lowest priority
(storage/removal.py), one at a time, and counts as used space until it is gone. What cannot be removed
is told to ``stuck``.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.files import Budget, BudgetSpent, remove_tree
from storage.unpacker import module_path

log = logging.getLogger(__name__)

AT_ONCE = 256  # entries that a removal takes the time for itself
_BATCH = 64  # trees to a process
_PROGRAM = (
    "import sys, json; sys.path[:0] = json.loads(sys.argv.pop(1)); from storage.removal import main; main()"
)


@dataclass(frozen=True, slots=True)
class Size:
    """What a tree takes, as far as it is known."""

    bytes: int = 0
    inodes: int = 0


class Trash:
    """Trees in ``directory`` that are to go."""

    def __init__(self, directory: Path, stuck: Callable[[Path, OSError], None]) -> None:
        self._directory = directory
        self._stuck = stuck
        self._waiting: dict[Path, Size] = {}
        self._task: asyncio.Task[None] | None = None

    def fresh(self) -> Path:
        """A name in the directory that nothing has."""
        return self._directory / secrets.token_hex(8)

    def throw(self, path: Path) -> Path:
        """Rename a tree of the same file system away; where it is then. Blocking.

        Raises:
            FileNotFoundError: it is gone already.
        """
        return path.rename(self.fresh())

    def remove_now(self, trees: Mapping[Path, Size]) -> dict[Path, OSError]:
        """Remove what is quickly removed, and keep the rest for ``begin``; what cannot be. Blocking.

        What lies elsewhere is in the directory then, if it is large.
        """
        budget, stayed = Budget(AT_ONCE), {}
        for path, size in trees.items():
            try:
                remove_tree(path, budget)
            except BudgetSpent:
                self.keep(path if path.parent == self._directory else self.throw(path), size)
            except OSError as error:
                stayed[path] = error
        return stayed

    def keep(self, path: Path, size: Size) -> None:
        """Have a tree in the directory removed by ``begin``."""
        self._waiting[path] = size

    def begin(self) -> None:
        """Go on with what is left, behind; to be called on the event loop."""
        if self._waiting and self._task is None:
            self._task = asyncio.create_task(self._empty(), name="remove what is in no list")

    def size(self) -> Size:
        """What is still to go takes."""
        waiting = list(self._waiting.values())
        return Size(sum(size.bytes for size in waiting), sum(size.inodes for size in waiting))

    async def settle(self) -> None:
        """Wait until all of it is gone."""
        self.begin()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop; what is left is swept at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _empty(self) -> None:
        try:
            while trees := list(self._waiting)[:_BATCH]:
                try:
                    failed = await _remove_behind(trees)
                except (OSError, ValueError) as error:  # no process, or one that was killed
                    log.warning("what was removed stays on disk until the next start: %s", error)
                    return
                for path in trees:
                    del self._waiting[path]
                for path, reason in failed.items():
                    log.warning("cannot be removed path=%s error=%s", path, reason)
                    self._stuck(path, reason)
        finally:
            self._task = None


async def _remove_behind(trees: Sequence[Path]) -> dict[Path, OSError]:
    """Remove trees in a process of their own; those that cannot be.

    Raises:
        OSError: the process cannot be started.
        ValueError: it ended without an answer.
    """
    words = (json.dumps(module_path()), json.dumps([str(path) for path in trees]))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _PROGRAM, *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env={"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    try:
        answer, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    return {Path(path): OSError(number, text, path) for path, (number, text) in json.loads(answer).items()}
