"""Times and amounts as people read them."""

import pytest

from cri.timeline.form import bar, bytes_text, clock, duration, moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0031, "3 ms"), (2.14, "2.1 s"), (99.9, "99.9 s"), (245, "4 min 5 s"), (11_520, "3 h 12 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (3400, "3.4 kB"), (5e6, "5.0 MB"), (2.5e12, "2500.0 GB")]
)
def test_amounts(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("done", "total", "text"), [(0, 10, "[    ]"), (5, 10, "[##  ]"), (20, 10, "[####]"), (0, 0, "[####]")]
)
def test_bars(done: int, total: int, text: str) -> None:
    assert bar(done, total, 4) == text


def test_moments_are_of_utc() -> None:
    assert moment(1_796_016_271_977_820_783) == "2026-11-30T05:24:31.977Z"
    assert clock(1_796_016_271_977_820_783) == "05:24:31.977"
