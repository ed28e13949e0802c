import pytest

from oci.monitor.pace import Allowance, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rounds(pace: Pace, clock: Clock, reads: list[list[int]], gap_s: float, work_s: float) -> list[float]:
    """The rests after rounds of reads, of so many bytes each."""
    rests = []
    for lengths in reads:
        clock.now += gap_s
        pace.begin()
        for length in lengths:
            pace.note(length)
        clock.now += work_s
        rests.append(pace.rest_s())
        clock.now += rests[-1]
    return rests


@pytest.mark.parametrize(
    ("lengths", "gap_s"),
    [([65536], 0.0), ([1, 1, 5000], 0.0), ([1], 0.1), ([], 0.0)],
    ids=["much", "some bring much", "now and then", "nothing read"],
)
def test_no_rest_without_a_flood_of_little(lengths: list[int], gap_s: float) -> None:
    clock = Clock()
    assert rounds(Pace(clock), clock, [lengths] * 4, gap_s, 0.0001) == [0.0] * 4


@pytest.mark.parametrize(("work_s", "rest_s"), [(0.0001, 0.001), (0.001, 0.003), (1.0, 0.02)])
def test_a_flood_of_little_is_read_a_part_of_the_time(work_s: float, rest_s: float) -> None:
    clock = Clock()
    pace = Pace(clock)
    assert rounds(pace, clock, [[1] * 16] * 4, 0.0, work_s)[1:] == [pytest.approx(rest_s)] * 3


def test_no_rate_is_no_limit() -> None:
    assert Allowance(0, Clock()).spend(1 << 40) == 0.0


def test_a_seconds_worth_may_come_at_once_and_then_the_rate_holds() -> None:
    clock = Clock()
    allowance = Allowance(1000, clock)
    assert allowance.spend(1000) == 0.0
    assert allowance.spend(500) == pytest.approx(0.5)
    clock.now += 0.5
    assert allowance.spend(250) == pytest.approx(0.25)
    clock.now += 3600  # no more than a second's worth is saved
    assert allowance.spend(1000) == 0.0
    assert allowance.spend(100) == pytest.approx(0.1)
