"""The own runtime's cgroups where version 2 is all there is: limits, devices by eBPF, freezing, killing."""

from tests.node.conftest import Guest

TIMEOUT_S = 3600


def test_cgroups_of_version_2_are_what_crun_and_runc_make(guest: Guest) -> None:
    results = guest.pytest(
        "tests/integration/oci/run/test_cgroups.py",
        prelude="export PODWRIGHT_PRIVATE=1",
        timeout_s=TIMEOUT_S,
    )
    assert (results.failed, results.skipped) == ((), ())
    assert len(results.passed) >= 45
