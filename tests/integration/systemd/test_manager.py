"""systemd itself passes what the fake of the unit tests passes."""

from collections.abc import AsyncIterator

import pytest

from cri.systemd.manager import Manager
from tests.contract.units import UnitsContract, another, name, sleeper
from tests.harness.patience import patient

__all__ = ["another", "name", "sleeper"]

pytestmark = pytest.mark.root


class TestManager(UnitsContract):
    @pytest.fixture
    async def units(self) -> AsyncIterator[Manager]:
        manager = Manager(timeout_s=patient(10))
        yield manager
        await manager.close()

    async def test_it_says_who_it_is(self, units: Manager) -> None:
        assert int((await units.version()).split(".")[0]) >= 247
