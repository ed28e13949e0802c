"""tests/chaos/figures: what is flat and what grows."""

import os
import random

import pytest

from tests.chaos.figures import Sample, Trend, look, slope, trends


def samples(anonymous_kib: list[float], role: str = "daemon", pid: int = 7) -> list[Sample]:
    return [
        Sample(60.0 * number, role, pid, int(value), int(value), 30, 10)
        for number, value in enumerate(anonymous_kib)
    ]


def of(found: list[Trend], whose: str, figure: str = "anonymous_kib") -> Trend:
    [trend] = [one for one in found if one.whose == whose and one.figure == figure]
    return trend


def noisy(growth_kib: float, length: int = 40) -> list[float]:
    dice = random.Random(3)
    return [40_000 + growth_kib * number + dice.uniform(-400, 400) for number in range(length)]


def test_the_slope_is_that_of_a_line() -> None:
    assert slope([(float(x), 3.0 * x + 2) for x in range(10)]) == pytest.approx(3.0)


def test_some_odd_samples_do_not_move_it() -> None:
    points = [(float(x), 5.0) for x in range(20)]
    points[4], points[17] = (4.0, 900.0), (17.0, 0.0)
    assert slope(points) == 0


def test_noise_is_flat() -> None:
    assert of(trends(samples(noisy(0))), "daemon 7").is_flat


def test_a_leak_is_found_under_the_same_noise() -> None:
    trend = of(trends(samples(noisy(100))), "daemon 7")
    assert not trend.is_flat
    assert trend.growth == pytest.approx(100 * 29, rel=0.1)
    assert "GROWS" in str(trend)


def test_a_warm_up_is_no_leak() -> None:
    rising = [20_000 + 2_000 * number for number in range(10)]
    assert of(trends(samples([*rising, *noisy(0, 30)])), "daemon 7").is_flat


def test_three_descriptors_more_are_a_leak() -> None:
    some = [Sample(60.0 * n, "monitor", 5, 1, 1, 20 + n // 8, 1) for n in range(40)]
    assert not of(trends(some), "monitor 5", "descriptors").is_flat


def test_processes_that_follow_each_other_are_judged_together() -> None:
    found = trends([*samples([100.0] * 4, pid=1), *samples([100.0] * 4, pid=2)])
    assert {one.whose for one in found} == {"every daemon"}  # neither lived for long


def test_who_shrinks_is_flat() -> None:
    assert of(trends(samples(noisy(-500))), "daemon 7").is_flat


def test_processes_of_nobody_are_not_looked_at() -> None:
    assert os.getpid() not in {sample.pid for sample in look(0.0)}
