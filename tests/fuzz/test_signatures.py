"""The fuzz targets of signatures, bounded."""

import pytest

from tests.fuzz.signatures import TARGETS, attack


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_has_an_answer(name: str) -> None:
    attack(name, seed=1, rounds=400)
