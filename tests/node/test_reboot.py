"""A node that goes down with pods on it starts clean: after an orderly stop, and after a power failure."""

import pytest

from tests.node.conftest import INSTALL, Guest
from tests.node.machine import End

TIMEOUT_S = 2400


@pytest.mark.parametrize(
    ("before", "end"), [("stopped", End.ORDERLY), ("running", End.ORDERLY), ("running", End.CUT)]
)
def test_a_node_starts_clean_after_it_went_down_with_pods(guest: Guest, before: str, end: End) -> None:
    first = guest.pytest(
        "tests/node/inside/test_before_reboot.py",
        prelude=f"{INSTALL}\nsync\nexport BEFORE={before}",
        timeout_s=TIMEOUT_S,
        end=end,
        name=f"{before}-{end.name}-1",
    )
    assert (first.failed, len(first.passed)) == ((), 1)
    second = guest.pytest(
        "tests/node/inside/test_after_reboot.py",
        prelude=f"export END={end.name}",
        timeout_s=TIMEOUT_S,
        name=f"{before}-{end.name}-2",
    )
    assert (second.failed, second.skipped, len(second.passed)) == ((), (), 6)
