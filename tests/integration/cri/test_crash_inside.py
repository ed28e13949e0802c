"""The crash matrix of test_crash_matrix.py for containers that the monitor launches by itself: the handler
``podwright``, and the verbs that it carries out."""

from collections.abc import Iterator

import pytest

from tests.crash.real import Matrix, Victim
from tests.crash.rig import Rig

pytestmark = pytest.mark.root

# Steps of each, spread over the verb; the monitor has some in which nothing but a launch is under way.
STEPS = 2
VERBS = ("CreateContainer", "StartContainer", "ExecSync", "StopContainer", "RemoveContainer")
CASES = [
    *((verb, Victim.MONITOR) for verb in VERBS[:4]),
    *((verb, Victim.DAEMON) for verb in VERBS),
    *((verb, Victim.BOTH_AT_MONITOR) for verb in VERBS[:3]),
]


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    rig = Rig("podwright")
    try:
        rig.open()
        yield Matrix(rig)
    finally:
        forced = rig.close()
    assert forced == []


@pytest.mark.parametrize(("verb", "victim"), CASES)
def test_a_kill_at_this_step_costs_nothing(matrix: Matrix, verb: str, victim: Victim) -> None:
    result = matrix.attempt(verb, victim, most=STEPS)
    assert result.failures == [], matrix.rig.daemon.log_tail()
    assert result.tried == STEPS
