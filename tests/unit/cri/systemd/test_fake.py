"""The fake of the other tests, held against what systemd does."""

import pytest

from tests.contract.units import UnitsContract, another, name, sleeper
from tests.unit.cri.systemd.fake import FakeUnits

__all__ = ["another", "name", "sleeper"]


class TestFakeUnits(UnitsContract):
    @pytest.fixture
    def units(self) -> FakeUnits:
        return FakeUnits()
