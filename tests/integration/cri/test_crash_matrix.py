"""A real daemon is killed at points of its verbs, and of its start: nothing is lost, nothing is left.

Every fourth point, from another beginning each day; ``make crash-test`` tries all of them.
"""

import datetime
from collections.abc import Iterator

import pytest

from tests.crash.real import SCENARIOS, START, Rig, attempt

pytestmark = pytest.mark.root

EVERY = 4


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    made.open()
    yield made
    assert made.close() == []


@pytest.mark.parametrize("verb", [*SCENARIOS, START])
def test_a_kill_at_this_point_costs_nothing(rig: Rig, verb: str) -> None:
    result = attempt(rig, verb, EVERY, datetime.date.today().toordinal() % EVERY)
    assert result.failures == [], rig.daemon.log_tail()
    assert result.tried >= 1
