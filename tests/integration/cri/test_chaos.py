"""Twenty clients ask for everything at random, and daemon or monitor are killed: nothing is lost, or left.

A short form of ``make chaos-test``, by one seed.
"""

import pytest

from tests.chaos.place import Place
from tests.chaos.plan import MIXED, kills
from tests.chaos.run import CLIENTS, run

pytestmark = pytest.mark.root

SEED = 739_950
KILLS = 10
MEAN_S = 1.0


def test_nothing_is_lost_or_left_by_kills_at_random() -> None:
    with Place() as place:
        plan = kills(SEED, MEAN_S, MIXED)
        result = run(place, plan, number=KILLS, seed=SEED, clients=CLIENTS, clear_every=KILLS // 2)
        said = f"seed {SEED}: {result}\n{place.daemon.log_tail()}"
    assert result.failures == [], said
    assert result.ready_without_network == 0, said
    assert result.leftovers == 0, said
    assert place.forced == []
    assert result.kills.total() == KILLS
    # It has been busy: else nothing is shown.
    assert result.seen["SANDBOX_READY"] > 0, said
    assert result.seen["CONTAINER_RUNNING"] + result.seen["CONTAINER_EXITED"] > 0, said
