"""The crash matrix over fakes: at no point of any verb, or of a start after it, does a kill cost anything."""

import json
import subprocess
import sys

import pytest

from tests.crash.scenarios import SCENARIOS
from tests.harness.patience import patient

# Fewer would say that points are not found any more, and the matrix tries nothing.
AT_LEAST = {
    **dict.fromkeys(("RunPodSandbox", "CreateContainer", "RemoveContainer", "StopPodSandbox"), 12),
    **dict.fromkeys(("RemovePodSandbox", "RunPodSandbox/pause", "RemovePodSandbox/pause"), 20),
    **dict.fromkeys(("ExecSync", "Exec"), 5),
}
USUALLY = 2


@pytest.mark.parametrize("verb", SCENARIOS)
def test_a_kill_at_any_point_costs_nothing(verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.matrix", verb],
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["failures"] == []
    assert done.returncode == 0, done.stderr
    assert result["points"] >= AT_LEAST.get(verb, USUALLY)
    assert result["states"] >= 1
    assert result["restarts"] > result["states"]
