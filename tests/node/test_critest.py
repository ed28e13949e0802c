"""The whole of critest on a node with systemd, cgroup v2 and AppArmor, by each runtime."""

import pytest

from tests.critest.expected import ALWAYS
from tests.critest.report import Report, judge
from tests.node.conftest import INSTALL, LOGS, Guest

TIMEOUT_S = 10800
SPECS = 116
SCRIPT = f"""
{INSTALL}
# The whole guest is the private machine.
export PODWRIGHT_PRIVATE=1 ENDPOINT=unix:///run/podwright/podwright.sock HANDLER=%s JUNIT=$RESULTS/junit.xml
.venv/bin/python -m tests.critest.run
code=$?
{LOGS}
exit $code
"""


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_every_spec_passes(guest: Guest, handler: str) -> None:
    outcome = guest.run(SCRIPT % handler, timeout_s=TIMEOUT_S, name=handler)
    report = Report.read(guest.results / handler / "junit.xml")
    left_out = "|".join(skip.pattern for skip in ALWAYS if skip.by_us)
    verdict = judge(report, ALWAYS, left_out)
    assert verdict.good, "\n".join(verdict.lines)
    assert verdict.lines[-1].startswith(f"{SPECS} passed, 0 failed"), outcome.output[-4000:]
