"""The crash matrix over fakes: there is no point of any verb at which a kill costs anything.

Here each verb is killed at every point, and the start that follows at some; ``make crash-test`` tries all.
"""

import json
import subprocess
import sys

import pytest

from tests.crash.scenarios import SCENARIOS
from tests.harness.patience import patient

# Fewer would say that points are not announced any more, and the matrix tries nothing.
AT_LEAST = {"StartContainer": 4, "UpdateContainerResources": 6, "StopContainer": 4}
USUALLY = 12


@pytest.mark.parametrize("verb", SCENARIOS)
def test_a_kill_at_any_point_costs_nothing(verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.matrix", verb, "--restarts", "some"],
        capture_output=True,
        text=True,
        timeout=patient(120),
        check=False,
    )
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["failures"] == []
    assert done.returncode == 0, done.stderr
    assert result["points"] >= AT_LEAST.get(verb, USUALLY)
