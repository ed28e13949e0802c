import random

import pytest

from tests.fuzz.registry import TARGETS, fuzz, seeds


@pytest.mark.parametrize("name", set(TARGETS) - {"header"})
def test_seeds_are_understood(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_only_errors_with_a_meaning_come_out(name: str) -> None:
    assert fuzz(name, random.Random(20_261_129), rounds=1500) == 1500
