"""The Debian package on a node that runs pods: upgraded, removed, installed again and purged."""

from tests.node.conftest import Guest

TIMEOUT_S = 3600


def test_the_package_comes_and_goes_under_a_running_pod(guest: Guest) -> None:
    results = guest.pytest("tests/node/inside/test_package.py", timeout_s=TIMEOUT_S)
    assert (results.failed, results.skipped, len(results.passed)) == ((), (), 4)
