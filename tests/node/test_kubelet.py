"""The scenarios of tests/kubelet on a node with systemd and cgroup v2, with the package, by each runtime."""

import pytest

from tests.node.conftest import INSTALL, Guest

TIMEOUT_S = 14400
SCENARIOS = 120
# The tests start a daemon of their own, of what the package installed; the guest is their private machine.
PRELUDE = f"""
{INSTALL}
systemctl stop podwright
mkdir -p /var/lib/kubelet
export PODWRIGHT_PRIVATE=1 PODWRIGHT=/usr/bin/podwright HANDLER=%s
"""


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_every_scenario_of_a_kubelet_passes(guest: Guest, handler: str) -> None:
    results = guest.pytest("tests/kubelet", prelude=PRELUDE % handler, timeout_s=TIMEOUT_S, name=handler)
    assert (results.failed, results.skipped) == ((), ())
    assert len(results.passed) >= SCENARIOS
