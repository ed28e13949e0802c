"""CPU use as a rate: by the counter's own time, whoever asks and however often."""

from cri.stats.rate import FIRST_WINDOW_NS, LEAST_WINDOW_NS, CpuRate

SECOND = 1_000_000_000
HALF_A_CORE = SECOND // 2


def test_half_a_core_reads_half_a_core() -> None:
    rate = CpuRate()
    assert rate.at(0, 0) is None
    for second in range(1, 40):
        assert rate.at(second * SECOND, second * HALF_A_CORE) == HALF_A_CORE


def test_there_is_none_before_the_first_window() -> None:
    rate = CpuRate()
    rate.at(0, 0)
    assert rate.at(FIRST_WINDOW_NS - 1, 7) is None


def test_many_askers_do_not_shorten_the_window() -> None:
    rate = CpuRate()
    rate.at(0, 0)
    assert rate.at(LEAST_WINDOW_NS, LEAST_WINDOW_NS) == SECOND  # a whole core until here, then nothing
    for step in range(1, 50):
        assert rate.at(LEAST_WINDOW_NS + step * LEAST_WINDOW_NS // 50, LEAST_WINDOW_NS) == SECOND
    assert rate.at(2 * LEAST_WINDOW_NS, LEAST_WINDOW_NS) == 0


def test_a_counter_that_goes_back_begins_anew() -> None:
    rate = CpuRate()
    rate.at(0, 100)
    assert rate.at(LEAST_WINDOW_NS, 50) is None
    assert rate.at(2 * LEAST_WINDOW_NS, 50 + LEAST_WINDOW_NS) == SECOND
