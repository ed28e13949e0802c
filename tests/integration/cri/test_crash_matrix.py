"""Daemon, monitor, keeper, a log writer, or several at once are killed at steps of each verb: nothing
that is not documented is lost, nothing is left.

One step of each verb for each of them, and for some every other verb, always the same; ``make crash-test``
tries all of them.
"""

from collections.abc import Iterator

import pytest

from tests.crash.real import SCENARIOS, VICTIMS, Matrix, Victim
from tests.crash.rig import Rig

pytestmark = pytest.mark.root

# Each of them does something in these; fewer steps would say that they are not found any more.
BUSY = {
    Victim.DAEMON: ("RunPodSandbox", "CreateContainer", "RemovePodSandbox", "PullImage"),
    Victim.MONITOR: ("CreateContainer", "StartContainer", "ExecSync", "Exec", "StopContainer", "hand-over"),
    Victim.WRITER: ("StartContainer", "ReopenContainerLog"),
}
ALWAYS = (Victim.DAEMON, Victim.MONITOR, Victim.BOTH_AT_DAEMON)
STEP = 739_950  # modulo the number of steps: somewhere in the middle
CASES = [
    (verb, victim)
    for number, verb in enumerate(SCENARIOS)
    for victim in VICTIMS
    if victim in ALWAYS or (number + VICTIMS.index(victim) + STEP) % 2 == 0
]
TRIES = 12


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    rig = Rig()
    try:
        rig.open()
        yield Matrix(rig)
    finally:
        forced = rig.close()
    assert forced == []


@pytest.mark.parametrize(("verb", "victim"), CASES)
def test_a_kill_at_this_step_costs_nothing(matrix: Matrix, verb: str, victim: Victim) -> None:
    result = matrix.attempt(verb, victim, most=1, offset=STEP)
    assert result.failures == [], matrix.rig.daemon.log_tail()
    assert result.steps >= 5 * (verb in BUSY.get(victim, ()))


def test_monitors_that_die_one_after_the_other_while_they_take_over_cost_nothing(matrix: Matrix) -> None:
    result = matrix.kill_successors(TRIES)
    assert result.failures == [], matrix.rig.daemon.log_tail()
    assert result.tried == TRIES
