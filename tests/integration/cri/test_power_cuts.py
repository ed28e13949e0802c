"""The power of a node's disk is cut in the midst of pulls, creates and removals: what boots is whole.

A short form of tests.crash.power: always the same; ``make crash-test`` does twenty.
"""

import pytest

from tests.crash.power import Node, run

pytestmark = pytest.mark.root

CUTS = 2
SEED = 739_950


def test_a_node_boots_whole_and_clean_after_a_power_cut() -> None:
    with Node() as node:
        result = run(node, CUTS, SEED)
    assert result.failures == [], f"seed {SEED}"
    assert result.cuts == CUTS
    assert result.images >= CUTS  # the one that was there before, at least
