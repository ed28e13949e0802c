"""The specs that are known not to run, and why; any other skip fails `make critest`."""

import re
from dataclasses import dataclass
from pathlib import Path

APPARMOR = Path("/sys/module/apparmor/parameters/enabled")


@dataclass(frozen=True, slots=True)
class Skip:
    """Specs whose full name ``pattern`` finds (a regular expression for both Go and Python), and the reason.

    ``by_us``: they would run and cannot pass, so ginkgo leaves them out; the others skip themselves.
    """

    pattern: str
    reason: str
    by_us: bool = False

    def matches(self, name: str) -> bool:
        return re.search(self.pattern, name) is not None


ALWAYS = (
    Skip(
        "public image with digest should be pulled and removed",
        "the suite names an image by a fixed digest, and its digest cannot be rebuilt",
        by_us=True,
    ),
    Skip("benchmark about", "a benchmark: `critest -benchmark` runs it"),
)
NO_APPARMOR = Skip("AppArmor", "this machine's kernel has no AppArmor")


def expected_skips() -> tuple[Skip, ...]:
    """Those of this machine."""
    enabled = APPARMOR.exists() and APPARMOR.read_text().startswith("Y")
    return ALWAYS if enabled else (*ALWAYS, NO_APPARMOR)
