"""Chaos: twenty clients ask for everything at random, and daemon, monitor or keeper are killed at random.

``python -m tests.chaos.run [--kills N] [--minutes M] [--seed S] …`` runs in the namespaces of
tests.harness.private until so many kills or minutes are over. After each kill the clients pause, and lists,
records and machine must agree; now and then everything is removed, nothing may be left, and the memory and
descriptors of our processes are looked at. At the end it prints one JSON object, and fails on any failure.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from tests.chaos.clients import Crowd
from tests.chaos.consistent import contradictions
from tests.chaos.figures import Sample, look, trends
from tests.chaos.place import START_S, Place
from tests.chaos.plan import MIXED, Kill, Victim, eras, kills
from tests.chaos.requests import CODE_LABEL
from tests.harness import private
from tests.harness.daemon import DaemonFailed
from tests.harness.patience import patient

CLIENTS = 20
_ANSWER_S = patient(150)
_NETWORKLESS = ("lease", "address", "interface", "namespace")


@dataclass
class Result:
    """What was done, and what was wrong."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    clearings: int = 0
    leftovers: int = 0
    ready_without_network: int = 0
    failures: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    tracebacks: int = 0
    exits: Counter[str] = field(default_factory=Counter)  # of containers whose code is known: wanted, got
    seen: Counter[str] = field(default_factory=Counter)  # pods and containers by state, at the looks
    samples: list[Sample] = field(default_factory=list)
    trends: list[str] = field(default_factory=list)


class Chaos:
    """One run at one place."""

    def __init__(self, place: Place, seed: int, clients: int, clear_every: int, think_s: float) -> None:
        self.result = Result(seed)
        self._place, self._clear_every = place, clear_every
        self._crowd = Crowd(
            place.daemon.endpoint, clients, seed, place.images, place.logs, place.cgroup, think_s
        )
        self._begun = time.monotonic()
        self._told: set[str] = set()

    def strike(self, number: int, kill: Kill) -> None:
        """Load, the kill, quiet, and a look; every so often, all is removed and looked at."""
        self._crowd.open()
        time.sleep(kill.after_s)
        self._kill(kill.victim)
        if not self._place.daemon.running:
            self._start()
        self._fail(number, kill, self._crowd.close(_ANSWER_S))
        found = contradictions(self._place, self._told)
        self.result.ready_without_network += sum(
            line.startswith("READY") and any(word in line for word in _NETWORKLESS) for line in found
        )
        self._fail(number, kill, found)
        self._note()
        if (number + 1) % self._clear_every == 0:
            self._clear(number, kill)

    def end(self) -> Result:
        """Remove what is there, and sum up."""
        self._crowd.end()
        self._clear(-1, Kill(0, Victim.NOBODY))
        result, tally = self.result, self._crowd.tally
        result.calls, result.verbs, result.faults = tally.total(), tally.calls, dict(tally.faults)
        result.tracebacks = self._place.daemon.log().count("Traceback")
        judged = trends(result.samples)
        result.trends = [str(trend) for trend in judged]
        return result

    def _kill(self, victim: Victim) -> None:
        """At once, as far as signals are; the daemon is reaped then."""
        self.result.kills[victim] += 1
        place, daemon = self._place, self._place.daemon
        victims: dict[Victim, list[int | None]] = {
            Victim.DAEMON: [daemon.pid],
            Victim.MONITOR: [place.monitor()],
            Victim.KEEPER: [place.keeper()],
            Victim.BOTH: [daemon.pid, place.monitor()],
        }
        doomed = victims.get(victim, [])
        for pid in doomed:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):  # it ends just now
                    os.kill(pid, signal.SIGKILL)
        if victim in (Victim.DAEMON, Victim.BOTH):
            daemon.kill()
        if victim is Victim.STOPPED:
            daemon.stop()

    def _note(self) -> None:
        client = self._place.client
        self.result.seen.update(pb.PodSandboxState.Name(pod.state) for pod in client.pods())
        for container in client.containers():
            self.result.seen[pb.ContainerState.Name(container.state)] += 1
            if container.state == pb.CONTAINER_EXITED and container.labels[CODE_LABEL]:
                got = client.container(container.id)
                self.result.exits[f"{container.labels[CODE_LABEL]} {got.exit_code} {got.reason}"] += 1

    def _start(self) -> None:
        """While the clients knock."""
        self._place.daemon.start(START_S)

    def _clear(self, number: int, kill: Kill) -> None:
        left = self._place.clear()
        self.result.clearings += 1
        self.result.leftovers += len(left)
        self._fail(number, kill, [f"left: {line}" for line in left])
        self._fail(number, kill, contradictions(self._place, self._told))
        self.result.samples += look(time.monotonic() - self._begun)

    def _fail(self, number: int, kill: Kill, texts: Sequence[str]) -> None:
        """Each is told once: what is left stays left."""
        new = [text for text in texts if text not in self._told]
        self._told.update(new)
        for text in new:
            line = f"kill {number} of {kill.victim} after {kill.after_s:.2f} s: {text}"
            say(f"FAILURE {line}")
            self.result.failures.append(line)


def run(
    place: Place,
    strikes: Iterator[Kill],
    *,
    number: int,
    seed: int,
    clients: int = CLIENTS,
    clear_every: int = 10,
    think_s: float = 0.0,
    minutes: float | None = None,
) -> Result:
    """Until ``number`` kills have been or ``minutes`` are over."""
    chaos = Chaos(place, seed, clients, clear_every, think_s)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    try:
        for count, kill in zip(range(number), strikes, strict=False):
            if end is not None and time.monotonic() > end:
                break
            chaos.strike(count, kill)
            if (count + 1) % clear_every == 0:
                say(f"{count + 1} kills, {len(chaos.result.failures)} failures")
    except DaemonFailed as error:
        chaos.result.failures.append(str(error))
    return chaos.end()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Pace:
    """How fast it goes: seconds of load before a kill, kills before all is removed, pauses of clients."""

    mean_s: float
    clear_every: int
    think_s: float


FAST = Pace(3.0, 10, 0.0)  # many kills
LONG = Pace(20.0, 3, 0.5)  # processes live long enough to be looked at often


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100, help="without --minutes")
    parser.add_argument("--minutes", type=float, help="a soak: only the daemon, only the monitor, then both")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--mean", type=float, help="seconds of load before a kill")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--keep-log", type=Path, help="where the daemon's log goes at the end")
    arguments = parser.parse_args()
    private.go_inside("tests.chaos.run", sys.argv[1:])
    seed, minutes = arguments.seed, arguments.minutes
    pace = FAST if minutes is None else LONG
    mean_s = arguments.mean or pace.mean_s
    plan = kills(seed, mean_s, MIXED) if minutes is None else eras(seed, mean_s, minutes)
    say(f"seed {seed}")
    with Place() as place:
        result = run(
            place,
            plan,
            number=arguments.kills if minutes is None else sys.maxsize,
            seed=seed,
            clients=arguments.clients,
            clear_every=pace.clear_every,
            think_s=pace.think_s,
            minutes=minutes,
        )
        if arguments.keep_log:
            arguments.keep_log.write_text(place.daemon.log())
    print(json.dumps(vars(result), default=vars))
    for line in result.trends:
        say(line)
    grown = [line for line in result.trends if line.endswith("GROWS")]
    sys.exit(bool(result.failures or place.forced or grown))


if __name__ == "__main__":
    main()
