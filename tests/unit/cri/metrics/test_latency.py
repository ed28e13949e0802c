"""Quantiles over the last calls."""

import pytest

from cri.metrics.latency import KEPT, Latency, quantiles


@pytest.mark.parametrize(
    ("ordered", "found"),
    [
        ([], []),
        ([2.0], [(0.5, 2.0), (0.9, 2.0), (0.99, 2.0)]),
        (list(map(float, range(100))), [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0)]),
    ],
)
def test_quantiles(ordered: list[float], found: list[tuple[float, float]]) -> None:
    assert list(quantiles(ordered)) == found


def test_old_calls_count_in_sum_and_number_alone() -> None:
    latency = Latency("x", "Text.", "operation")
    latency.observe("Status", 1000.0)
    for _ in range(KEPT):
        latency.observe("Status", 1.0)
    (family,) = latency.collect()
    values = {(one.name, one.labels.get("quantile", "")): one.value for one in family.samples}
    assert values["x_count", ""] == KEPT + 1
    assert values["x_sum", ""] == 1000.0 + KEPT
    assert values["x", "0.99"] == 1.0
