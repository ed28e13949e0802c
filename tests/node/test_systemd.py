"""The tests of the systemd cgroup driver, which only a machine run by systemd can run."""

from tests.node.conftest import Guest

TIMEOUT_S = 5400


def test_the_systemd_driver_holds_what_it_promises(guest: Guest) -> None:
    results = guest.pytest(
        "tests/integration/systemd", prelude="export PODWRIGHT_PRIVATE=1", timeout_s=TIMEOUT_S
    )
    assert (results.failed, results.skipped) == ((), ())
    assert len(results.passed) >= 20
