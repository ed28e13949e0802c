"""A summary with quantiles, which prometheus_client's own has not: for operations_latency_seconds_total."""

from collections import deque
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

QUANTILES = (0.5, 0.9, 0.99)
# The quantiles are those of the last calls; an older one tells nothing of a node as it is now.
KEPT = 500


class Latency(Collector):
    """By one label; the quantiles are exact, over the last KEPT observations."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name, self._text, self._label = name, text, label
        self._sums: dict[str, tuple[int, float]] = {}
        self._last: dict[str, deque[float]] = {}

    def observe(self, of: str, seconds: float) -> None:
        count, total = self._sums.get(of, (0, 0.0))
        self._sums[of] = count + 1, total + seconds
        self._last.setdefault(of, deque(maxlen=KEPT)).append(seconds)

    def describe(self) -> Iterator[Metric]:
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for of, (count, total) in self._sums.items():
            family.add_metric([of], count, total)
            for quantile, value in quantiles(sorted(self._last[of])):
                family.add_sample(self._name, {self._label: of, "quantile": f"{quantile:g}"}, value)
        yield family

    def _family(self) -> SummaryMetricFamily:
        return SummaryMetricFamily(self._name, self._text, labels=[self._label])


def quantiles(ordered: Sequence[float]) -> Iterator[tuple[float, float]]:
    """By the nearest rank; of nothing there are none."""
    for quantile in QUANTILES if ordered else ():
        yield quantile, ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
