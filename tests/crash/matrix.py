"""The crash matrix over fakes: the daemon is killed at every point of every verb, and of the starts after it.

Each kill is of a process forked from this one, by SIGKILL; what it leaves below its directory is what the
next one finds. Two kills that leave the same are one state, and the second of them is not carried out. From
every state the daemon is started, killed at every point of that start too, and so on until no new state comes
up: so all are tried that any number of kills in a row can leave. In each, lists, records and the world must
agree after a start, the verb's repeat must succeed, and nothing be left once all is removed.

``python -m tests.crash.matrix [VERB…]`` prints one JSON object a verb: points of the verb, points of the
starts that followed, states, failures.
"""

import argparse
import asyncio
import gc
import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cri.records import Records
from tests.crash.invariants import broken
from tests.crash.points import Points, put, steps, turns
from tests.crash.scenarios import SCENARIOS, Client, Scenario
from tests.fakes.node import kernel, leftovers, started

# A verb that waits for what never comes is a failure, not a reason to wait.
PATIENCE_S = 60.0
_TIMES = re.compile(rb"[0-9]{16,20}(?![0-9a-f])")
Work = Callable[[Points], Coroutine[None, None, None]]
_SQLITE = ("-wal", "-shm")


@dataclass
class Result:
    """Of one verb: its points, those of the starts that followed, states that kills left, what went wrong."""

    verb: str
    points: int = 0
    restarts: int = 0
    states: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What a row of kills has left: a copy of the directory, and the names of the points."""

    where: str
    saved: Path


class Cell:
    """One directory, and the processes that work on it one after the other."""

    def __init__(self, scenario: Scenario, top: Path) -> None:
        self._scenario = scenario
        self.directory = top / "node"
        self._said = top / "said"
        self._is_again = False

    def kill_verb(self, at: int) -> str | None:
        """Kill the verb at its point ``at``: the point's name, or None if there are fewer."""
        self.begin(None)

        async def work(points: Points) -> None:
            async with started(self.directory, points) as node:
                client = self._scenario.client(node)
                for step in self._scenario.before:
                    await step(client)
                points.arm(at)
                await self._scenario.verb(client)
                points.disarm()

        return self._killed(work)

    def kill_start(self, state: State, at: int) -> str | None:
        """Kill the next daemon at the point ``at`` of its start."""
        self.begin(state)

        async def work(points: Points) -> None:
            points.arm(at)
            async with started(self.directory, points):
                points.disarm()

        return self._killed(work)

    def start(self, state: State) -> list[str]:
        """What kills at the points of the next daemon's start would leave, in their order."""
        self.begin(state)
        left: list[str] = []

        async def work(points: Points) -> None:
            points.arm(0)
            async with started(self.directory, points):
                points.disarm()
            self._said.write_text(json.dumps(left))

        if self._in_child(work, lambda _: left.append(self.left())):
            raise RuntimeError(self._said.read_text())
        found: list[str] = json.loads(self._said.read_text())
        return found

    def findings(self, state: State) -> list[str]:
        """Start once more and look; repeat the verb, look, remove everything, look."""
        self.begin(state)

        async def work(points: Points) -> None:
            found = []
            async with started(self.directory, points) as node:
                client = self._scenario.client(node)
                found += [f"after the start: {text}" for text in broken(node)]
                await self._scenario.verb(client)
                found += [f"after the repeat: {text}" for text in [*broken(node), *self._outcome(client)]]
                await client.remove_pod()
                await client.remove_image()
                found += [f"after the removal: {text}" for text in leftovers(node)]
            self._said.write_text(json.dumps(found))

        self._said.write_text('["the repeat was killed"]')
        self._in_child(work)
        said: list[str] = json.loads(self._said.read_text())
        return said

    def begin(self, state: State | None) -> None:
        """Lay out what there is before a process starts."""
        self._is_again = state is not None
        shutil.rmtree(self.directory, ignore_errors=True)
        if state is None:
            self.directory.mkdir()
        else:
            shutil.copytree(state.saved, self.directory, symlinks=True)

    def left(self) -> str:
        """A digest of what is there: what two kills have in common, but for times."""
        digest = hashlib.sha256()
        for path in sorted(self.directory.rglob("*")):
            if path.is_file() and not path.name.endswith(_SQLITE) and path.name != "records.sqlite":
                digest.update(_TIMES.sub(b"T", path.read_bytes()))
            digest.update(bytes(path.relative_to(self.directory)) + b"\0")
        for kind, row in self._rows():
            digest.update(_TIMES.sub(b"T", repr((kind, row)).encode()))
        return digest.hexdigest()

    def _rows(self) -> list[tuple[str, object]]:
        """Read from a copy: to open a database changes it."""
        run = self.directory / "run"
        if not (run / "records.sqlite").exists():
            return []
        copy = self._said.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in run.glob("records.sqlite*"):
            shutil.copy(path, copy)
        records = Records(copy / "records.sqlite")
        try:
            return [(kind, row) for kind in ("sandbox", "container") for row in records.rows(kind)]
        finally:
            records.close()

    def _outcome(self, client: Client) -> list[str]:
        there, inside = client.pod(), client.container()
        got = (None if there is None else there.phase, None if inside is None else inside.phase)
        wanted = (self._scenario.pod, self._scenario.container)
        found = [] if got == wanted else [f"pod and container are {got}, not {wanted}"]
        if client.has_image() is not self._scenario.image:
            found.append(f"that the image is there is {client.has_image()}")
        return found

    def _killed(self, work: Work) -> str | None:
        self._said.write_text("")
        status = self._in_child(work)
        if os.WIFSIGNALED(status):
            return self._said.read_text()
        if os.WEXITSTATUS(status):
            raise RuntimeError(self._said.read_text())
        return None

    def _in_child(self, work: Work, seen: Callable[[str], object] = lambda _: None) -> int:
        """Run ``work`` in a process of its own; how that ended. What it raises is said."""
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                self._work(work, seen)
                os._exit(0)
            except BaseException:
                self._said.write_text(json.dumps([traceback.format_exc(limit=-6)]))
            finally:
                os._exit(1)
        return os.waitpid(child, 0)[1]

    def _work(self, work: Work, seen: Callable[[str], object]) -> None:
        points = Points(self._said.write_text, lambda: _glance(self.directory), seen)
        put(points, below=str(self.directory))
        steps(points)
        _predictable_ids("ab"[self._is_again])
        for owner, name, value in kernel(self.directory, points):
            setattr(owner, name, value)

        async def begun() -> None:
            turns(asyncio.get_running_loop(), points)
            await asyncio.wait_for(work(points), PATIENCE_S)

        asyncio.run(begun())


def _predictable_ids(letter: str) -> None:
    """So that two runs of a verb leave the same. Other processes on the same directory have other ids."""
    numbers = itertools.count(1)
    secrets.token_hex = lambda nbytes=None: f"{next(numbers):04}".rjust(2 * (nbytes or 32), letter)


def _glance(directory: Path) -> frozenset[tuple[str, int, int, int]]:
    """What is there, but for the databases, whose statements are counted."""
    found = []
    waiting = [str(directory)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                if ".sqlite" not in entry.name:
                    seen = entry.stat(follow_symlinks=False)
                    size, changed = (
                        (0, 0) if entry.is_dir(follow_symlinks=False) else (seen.st_size, seen.st_mtime_ns)
                    )
                    found.append((entry.path, seen.st_ino, size, changed))
    return frozenset(found)


class Attempt:
    """All of one verb: see the module's docstring."""

    def __init__(self, verb: str, top: Path) -> None:
        self.result = Result(verb)
        self._cell = Cell(SCENARIOS[verb], top)
        self._top = top
        self._seen: set[str] = set()
        self._states: list[State] = []

    def run(self, most_in_a_row: int) -> Result:
        """``most_in_a_row`` bounds the kills in starts that follow each other."""
        while (where := self._cell.kill_verb(self.result.points + 1)) is not None:
            self.result.points += 1
            self._note(where)
        begun = 0
        for _ in range(most_in_a_row):
            begun, before = len(self._states), begun
            for state in self._states[before:begun]:
                self._kill_starts(state)
        for state in self._states:
            found = self._cell.findings(state)
            self.result.failures += [f"killed {state.where}: {text}" for text in found]
        self.result.states = len(self._states)
        return self.result

    def _kill_starts(self, state: State) -> None:
        left = self._cell.start(state)
        self.result.restarts += len(left)
        for at, found in enumerate(left, 1):
            if found not in self._seen and (again := self._cell.kill_start(state, at)) is not None:
                self._note(f"{state.where}; started again, {again}")

    def _note(self, where: str) -> None:
        left = self._cell.left()
        if left not in self._seen:
            self._seen.add(left)
            saved = self._top / f"state-{len(self._states)}"
            self._cell.directory.rename(saved)
            self._states.append(State(where, saved))


def attempt(verb: str, most_in_a_row: int = 1000) -> Result:
    """Every point of the verb; from each state that this leaves, every point of a start; and so on."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="crash-", dir=memory) as top:
        return Attempt(verb, Path(top)).run(most_in_a_row)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verbs", nargs="*", default=list(SCENARIOS))
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.freeze()  # what children share with this process stays shared
    failed = False
    for verb in arguments.verbs:
        result = attempt(verb)
        failed = failed or bool(result.failures)
        print(json.dumps(asdict(result)), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
