"""The short form of the node's tests: one boot, one pod after another. Part of make test."""

from tests.node.conftest import Guest

TIMEOUT_S = 1500


def test_a_node_with_the_package_installed_runs_pods(guest: Guest) -> None:
    results = guest.pytest("tests/node/inside/test_smoke.py", timeout_s=TIMEOUT_S)
    assert (results.failed, results.skipped) == ((), ())
    assert len(results.passed) == 9
