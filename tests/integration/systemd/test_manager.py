"""systemd itself passes what the fake of the unit tests passes."""

import subprocess
from collections.abc import AsyncIterator

import pytest

from cri.systemd.manager import Manager
from tests.contract.units import UnitsContract, another, name, scope, sleeper
from tests.harness.patience import patient
from tests.integration.systemd.conftest import CGROUPS

__all__ = ["another", "name", "sleeper"]

pytestmark = pytest.mark.root


class TestManager(UnitsContract):
    @pytest.fixture
    async def units(self) -> AsyncIterator[Manager]:
        manager = Manager(timeout_s=patient(10))
        yield manager
        await manager.close()

    async def test_properties_are_in_force_when_they_are_set(
        self, units: Manager, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        await scope(units, f"{name}.scope", sleeper, ("CPUWeight", "t", 1))
        file = CGROUPS / "system.slice" / f"{name}.scope" / "cpu.weight"
        for weight in range(2, 50):
            await units.set_properties(f"{name}.scope", [("CPUWeight", "t", weight)])
            assert file.read_text() == f"{weight}\n"
        await units.stop(f"{name}.scope")

    async def test_it_says_who_it_is(self, units: Manager) -> None:
        assert int((await units.version()).split(".")[0]) >= 247
