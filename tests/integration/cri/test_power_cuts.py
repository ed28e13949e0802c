"""The power of a node's disk is cut in the midst of pulls, creates and removals: what boots is whole.

A short form of tests.crash.power, by another seed each day; ``make crash-test`` does twenty.
"""

import datetime

import pytest

from tests.crash.power import Node, run

pytestmark = pytest.mark.root

CUTS = 2


def test_a_node_boots_whole_and_clean_after_a_power_cut() -> None:
    seed = datetime.date.today().toordinal()
    with Node() as node:
        result = run(node, CUTS, seed)
    assert result.failures == [], f"seed {seed}"
    assert result.cuts == CUTS
    assert result.images >= CUTS  # the one that was there before, at least
