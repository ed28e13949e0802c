"""Where a process may be killed: numbered points of its run, at one of which it kills itself.

They lie before and after every step of every operation, and every write of a record; fakes add those of what
they change. Nothing of the daemon knows: the process that is to die replaces these calls before it begins.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cri.operations import Operation
from cri.records import Records


class Points:
    """Counts the points that are passed while it is armed, and kills at the chosen one."""

    def __init__(self, told: Path) -> None:
        """``told`` is written with the name of the point at which it kills."""
        self.passed: list[str] = []
        self._told = told
        self._armed = False
        self._at = 0

    def arm(self, at: int) -> None:
        """Kill at the point ``at``, counted from 1 from now on; 0 only counts."""
        self._armed, self._at = True, at

    def disarm(self) -> None:
        self._armed = False

    def __call__(self, name: str) -> None:
        if not self._armed:
            return
        self.passed.append(name)
        if len(self.passed) == self._at:
            self._told.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()


def put(point: Callable[[str], None]) -> None:
    """Announce the steps of operations and the writes of records of this process, for good."""
    timed = Operation.step

    @contextmanager
    def step(operation: Operation, name: str) -> Iterator[None]:
        point(f"before {operation.verb}: {name}")
        with timed(operation, name):
            yield
        point(f"after {operation.verb}: {name}")

    Operation.step = step  # type: ignore[method-assign,assignment]
    for verb in ("insert", "update", "delete"):
        _announce(verb, point)


def _announce(verb: str, point: Callable[[str], None]) -> None:
    write = getattr(Records, verb)

    def announced(records: Records, kind: str, *arguments: object) -> None:
        point(f"before the {verb} of a {kind}'s record")
        write(records, kind, *arguments)
        point(f"after the {verb} of a {kind}'s record")

    setattr(Records, verb, announced)
