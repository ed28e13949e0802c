"""What each process of ours holds, over time, and whether that stays.

    proportional and anonymous memory (smaps_rollup), descriptors, threads

A process is looked at while no request is under way and no pod is there, so that what it holds is what it
keeps. Its first samples are its warm-up: caches, pools and allocators fill. After that the fit of Theil and
Sen, which a few odd samples do not move, says how much it has grown between the first and the last.
"""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from tests.chaos.place import processes
from tests.harness.processes import descriptor_count, smaps_kib, status

ROLES = {
    "daemon": r" serve --config",
    "streaming": r"cri\.streaming\.process\.main",
    "monitor": r"oci\.monitor\.main",
    "keeper": r"^podwright-keeper",
    "log writer": r"^podwright-logs",
    "unpacking": r"storage\.unpack",
    "other of ours": r"^podwright-|\boci\.|\bcri\.",
}
# Below what these allow a growth cannot be told from noise: a share of what is there, and an amount.
_SHARE = 0.05
_AMOUNT = {"pss_kib": 1024.0, "anonymous_kib": 1024.0, "descriptors": 2.0, "threads": 8.0}
_WARM_UP = 0.25
_ENOUGH = 8


@dataclass(frozen=True)
class Sample:
    """One look at one process; ``pid`` names it together with its role."""

    at_s: float
    role: str
    pid: int
    pss_kib: int
    anonymous_kib: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Trend:
    """What became of one figure of one process, or of a role, after the warm-up."""

    whose: str
    figure: str
    samples: int
    hours: float
    median: float
    growth: float

    @property
    def is_flat(self) -> bool:
        return self.growth <= max(_AMOUNT[self.figure], _SHARE * self.median)

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else "GROWS"
        return (
            f"{self.whose:24} {self.figure:14} median {self.median:9.0f}  grown by {self.growth:+8.1f} "
            f"in {self.hours * 60:5.1f} min ({self.samples} samples): {verdict}"
        )


def look(at_s: float) -> Iterator[Sample]:
    """Every process of ours in this process namespace; one that ends meanwhile is left out."""
    for pid, line in processes():
        role = next((name for name, words in ROLES.items() if re.search(words, line)), None)
        if role is None:
            continue
        pss, anonymous = smaps_kib(pid, "Pss"), smaps_kib(pid, "Anonymous")
        descriptors, threads = descriptor_count(pid), status(pid).get("Threads")
        if pss is not None and anonymous is not None and threads is not None:
            yield Sample(at_s, role, pid, pss, anonymous, descriptors, int(threads))


def trends(samples: Iterable[Sample]) -> list[Trend]:
    """Of each process that lived long enough to be judged, and of each role over all its processes."""
    by_process: dict[str, list[Sample]] = defaultdict(list)
    by_role: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_process[f"{sample.role} {sample.pid}"].append(sample)
        by_role[f"every {sample.role}"].append(sample)
    lines = {**by_process, **by_role}
    return [trend for whose, line in lines.items() if len(line) >= _ENOUGH for trend in _trends(whose, line)]


def _trends(whose: str, samples: Sequence[Sample]) -> Iterator[Trend]:
    warm = samples[int(len(samples) * _WARM_UP) :]
    span_s = warm[-1].at_s - warm[0].at_s
    for figure in _AMOUNT:
        points = [(sample.at_s, float(getattr(sample, figure))) for sample in warm]
        middle = statistics.median(value for _, value in points)
        yield Trend(whose, figure, len(points), span_s / 3600, middle, slope(points) * span_s)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs (Theil and Sen)."""
    slopes = [(v - u) / (t - s) for (s, u), (t, v) in combinations(points, 2) if t > s]
    return statistics.median(slopes) if slopes else 0.0
