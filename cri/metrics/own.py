"""Podwright's own metrics, beside CRI-O's: how long each step takes, what waits, and what is in trouble.

Names begin with OWN. Steps and operations are counted as they end; the rest is looked up at a scrape.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cri.metrics.names import Labels

OWN = "podwright_"
# From a probe's exec to a pull over a bad line, in seconds.
BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


@dataclass(frozen=True, slots=True)
class Reading:
    """A gauge as it is now: its name without OWN, help, labels and value."""

    name: str
    text: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Own(Collector):
    """``look`` gives the gauges."""

    def __init__(self, look: Callable[[], Iterable[Reading]]) -> None:
        self._look = look
        self._labels = Labels()
        self._steps = Histogram(
            OWN + "step_seconds",
            "What the steps of operations take.",
            ["operation", "step"],
            buckets=BUCKETS,
            registry=None,
        )
        self._failed = Counter(
            OWN + "step_failures_total", "Steps that failed.", ["operation", "step"], registry=None
        )
        self._operations = Histogram(
            OWN + "operation_seconds",
            "What whole operations take; those that joined one are one with it.",
            ["operation"],
            buckets=BUCKETS,
            registry=None,
        )
        self._failures = Counter(
            OWN + "operation_failures_total", "Operations that failed.", ["operation"], registry=None
        )

    def register(self, registry: CollectorRegistry) -> None:
        for one in (self._steps, self._failed, self._operations, self._failures, self):
            registry.register(one)

    def step(self, operation: str, step: str, seconds: float, *, failed: bool) -> None:
        """One has ended; ``step`` is a label already."""
        name = self._labels.bounded(step)
        self._steps.labels(operation, name).observe(seconds)
        if failed:
            self._failed.labels(operation, name).inc()

    def operation(self, operation: str, seconds: float, *, failed: bool) -> None:
        """One has ended."""
        self._operations.labels(operation).observe(seconds)
        if failed:
            self._failures.labels(operation).inc()

    def describe(self) -> Iterator[Metric]:
        """Nothing: names are known when they are looked up."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for one in self._look():
            family = families.setdefault(one.name, Metric(OWN + one.name, one.text, "gauge"))
            family.add_sample(OWN + one.name, dict(one.labels), one.value)
        yield from families.values()
