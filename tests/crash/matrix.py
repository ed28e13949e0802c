"""The crash matrix over fakes: the daemon is killed at every point of every verb, and of its next start.

Each cell is a process forked from this one that really gets SIGKILL; what it leaves below its directory is
what the next one finds. Then lists, records and the world must agree, the verb's repeat must succeed, and
nothing be left once all is removed.

``python -m tests.crash.matrix [VERB…] [--restarts all|some|none]`` prints one JSON object a verb: points,
restarts, failures.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.crash.invariants import broken
from tests.crash.points import Points, put
from tests.crash.scenarios import SCENARIOS, Client, Scenario
from tests.fakes.node import kernel, leftovers, started

# A verb that waits for what never comes is a failure, not a reason to wait.
PATIENCE_S = 60.0


@dataclass
class Result:
    """What was tried of one verb: points, second kills while it was started again, and what went wrong."""

    verb: str
    points: int = 0
    restarts: int = 0
    failures: list[str] = field(default_factory=list)


class Cell:
    """One directory, and the processes that work on it one after the other."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._directory = Path(tempfile.mkdtemp(prefix="crash-"))
        self._said = self._directory / "said"

    def close(self) -> None:
        shutil.rmtree(self._directory)

    def kill_verb(self, at: int) -> str | None:
        """Kill the verb at its point ``at``: the point's name, or None if there are fewer."""

        async def work(points: Points) -> None:
            async with started(self._directory, points) as node:
                client = self._scenario.client(node)
                for step in self._scenario.before:
                    await step(client)
                points.arm(at)
                await self._scenario.verb(client)
                points.disarm()

        return self._killed(work)

    def kill_start(self, at: int) -> str | None:
        """Kill the next daemon at the point ``at`` of its start."""

        async def work(points: Points) -> None:
            points.arm(at)
            async with started(self._directory, points):
                points.disarm()

        return self._killed(work)

    def findings(self) -> list[str]:
        """Start once more and look; repeat the verb, look, remove everything, look."""

        async def work(points: Points) -> None:
            found = []
            async with started(self._directory, points) as node:
                client = self._scenario.client(node)
                found += [f"after the start: {text}" for text in broken(node)]
                await self._scenario.verb(client)
                found += [f"after the repeat: {text}" for text in [*broken(node), *self._outcome(client)]]
                await client.remove_pod()
                found += [f"after the removal: {text}" for text in leftovers(node)]
            self._said.write_text(json.dumps(found))

        self._said.write_text('["the repeat was killed"]')
        self._in_child(work)
        said: list[str] = json.loads(self._said.read_text())
        return said

    def _outcome(self, client: Client) -> list[str]:
        there, inside = client.pod(), client.container()
        got = (None if there is None else there.phase, None if inside is None else inside.phase)
        wanted = (self._scenario.pod, self._scenario.container)
        return [] if got == wanted else [f"pod and container are {got}, not {wanted}"]

    def _killed(self, work: Callable[[Points], Coroutine[None, None, None]]) -> str | None:
        self._said.write_text("")
        status = self._in_child(work)
        if os.WIFSIGNALED(status):
            return self._said.read_text()
        if os.WEXITSTATUS(status):
            raise RuntimeError(self._said.read_text())
        return None

    def _in_child(self, work: Callable[[Points], Coroutine[None, None, None]]) -> int:
        """Run ``work`` in a process of its own; how that ended. What it raises is said."""
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                self._work(work)
                os._exit(0)
            except BaseException:
                self._said.write_text(json.dumps([traceback.format_exc(limit=-6)]))
            finally:
                os._exit(1)
        return os.waitpid(child, 0)[1]

    def _work(self, work: Callable[[Points], Coroutine[None, None, None]]) -> None:
        points = Points(told=self._said)
        put(points)
        for owner, name, value in kernel(self._directory, points):
            setattr(owner, name, value)
        asyncio.run(asyncio.wait_for(work(points), PATIENCE_S))


def attempt(verb: str, restarts: str) -> Result:
    """Every point of the verb; for each, or some, every point of the start that follows."""
    result = Result(verb)
    while _cell(result, result.points + 1, 0):
        result.points += 1
        if restarts == "some" and result.points % 4 == 0:
            result.restarts += _cell(result, result.points, 1 + result.points % 11)
        at = 1
        while restarts == "all" and _cell(result, result.points, at):
            result.restarts += 1
            at += 1
    return result


def _cell(result: Result, verb_at: int, start_at: int) -> bool:
    """Whether there were such points."""
    cell = Cell(SCENARIOS[result.verb])
    try:
        where = cell.kill_verb(verb_at)
        if where is None:
            return False
        if start_at:
            again = cell.kill_start(start_at)
            if again is None:
                return False
            where += f"; started again, {again}"
        result.failures += [f"killed {where}: {text}" for text in cell.findings()]
        return True
    finally:
        cell.close()


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verbs", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--restarts", choices=("all", "some", "none"), default="some")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failed = False
    for verb in arguments.verbs:
        result = attempt(verb, arguments.restarts)
        failed = failed or bool(result.failures)
        print(json.dumps(asdict(result)), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
