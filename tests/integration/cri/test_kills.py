"""Some rounds of tests/crash/kills.py: nothing printed is lost, whoever is killed."""

import pytest

from tests.crash.kills import MODES, run

pytestmark = pytest.mark.root


def test_no_line_and_no_exit_code_is_lost_by_a_kill() -> None:
    results = run(MODES, rounds=1, writers=10)
    assert all(result.is_right for result in results), results
