"""`systemctl restart podwright` on a busy node."""

from tests.node.conftest import Guest

TIMEOUT_S = 3600


def test_twenty_pods_outlive_restarts_of_the_service(guest: Guest) -> None:
    results = guest.pytest("tests/node/inside/test_restarts.py", timeout_s=TIMEOUT_S)
    assert (results.failed, results.skipped, len(results.passed)) == ((), (), 2)
