"""When who is killed: drawn by a seed, so that a run can be had again."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Victim(StrEnum):
    """Who gets SIGKILL, or for STOPPED and NOBODY, what happens instead."""

    DAEMON = "daemon"
    MONITOR = "monitor"
    KEEPER = "keeper"
    BOTH = "both"  # daemon and monitor
    STOPPED = "stopped"  # the daemon by SIGTERM, and started again
    NOBODY = "nobody"


BY_ONE = {Victim.DAEMON: 4, Victim.STOPPED: 1}, {Victim.MONITOR: 4, Victim.KEEPER: 1}
MIXED = {Victim.DAEMON: 9, Victim.MONITOR: 9, Victim.KEEPER: 3, Victim.BOTH: 3}


@dataclass(frozen=True)
class Kill:
    """After ``after_s`` seconds of load."""

    after_s: float
    victim: Victim


def kills(seed: int, mean_s: float, weights: dict[Victim, int]) -> Iterator[Kill]:
    """Without end; most come early, some late, as of a process without memory, four means at most."""
    chance = random.Random(f"kills {seed}")
    while True:
        (victim,) = chance.choices(list(weights), list(weights.values()))
        yield Kill(min(chance.expovariate(1 / mean_s), 4 * mean_s), victim)


def eras(seed: int, mean_s: float, minutes: float) -> Iterator[Kill]:
    """A third of the time without a kill of the monitor, a third without one of the daemon, so that each
    lives long enough to be looked at; then both."""
    begun = time.monotonic()
    lines = [kills(seed, mean_s, weights) for weights in (*BY_ONE, MIXED)]
    while True:
        era = int((time.monotonic() - begun) / (20 * minutes))
        yield next(lines[min(era, 2)])
