"""tests/chaos/plan: kills by a seed."""

from itertools import islice

from tests.chaos.plan import BY_ONE, MIXED, Victim, eras, kills


def test_the_same_seed_kills_the_same_at_the_same_moments() -> None:
    assert list(islice(kills(5, 3.0, MIXED), 100)) == list(islice(kills(5, 3.0, MIXED), 100))
    assert list(islice(kills(5, 3.0, MIXED), 100)) != list(islice(kills(6, 3.0, MIXED), 100))


def test_everybody_who_may_be_killed_is() -> None:
    assert {kill.victim for kill in islice(kills(1, 3.0, MIXED), 200)} == set(MIXED)
    assert {kill.victim for kill in islice(kills(1, 3.0, BY_ONE[1]), 50)} == {Victim.MONITOR, Victim.KEEPER}


def test_nobody_waits_long_for_a_kill() -> None:
    waits = [kill.after_s for kill in islice(kills(1, 3.0, MIXED), 1000)]
    assert max(waits) <= 12
    assert 2.4 < sum(waits) / len(waits) < 3.2


def test_eras_begin_with_the_daemon_and_end_with_both() -> None:
    first = {kill.victim for kill in islice(eras(1, 1.0, minutes=1000), 50)}
    assert first <= {Victim.DAEMON, Victim.STOPPED}
    last = {kill.victim for kill in islice(eras(1, 1.0, minutes=1e-9), 200)}
    assert last == set(MIXED)
