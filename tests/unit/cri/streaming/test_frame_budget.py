from cri.streaming.frame_budget import FrameBudget


def test_a_burst_is_allowed_and_what_is_beyond_it_is_not() -> None:
    budget = FrameBudget(lambda: 0.0, burst=3, per_second=1)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_the_budget_refills_with_time_up_to_the_burst() -> None:
    now = [0.0]
    budget = FrameBudget(lambda: now[0], burst=3, per_second=1)
    for _ in range(3):
        budget.spend()
    now[0] = 2.0
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    now[0] = 1000.0
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_costs_are_counted_as_they_are() -> None:
    budget = FrameBudget(lambda: 0.0, burst=3, per_second=1)
    assert budget.spend(2.5)
    assert not budget.spend(0.75)
