import random

import pytest

from tests.fuzz.streaming import TARGETS, fuzz, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_understood(name: str) -> None:
    for seed in seeds(name):
        assert TARGETS[name]([seed]), "a seed that says nothing starts nothing"


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_input_never_raises_and_may_be_cut_anywhere(name: str) -> None:
    assert fuzz(name, random.Random(20_260_701), rounds=1500) == 1500
