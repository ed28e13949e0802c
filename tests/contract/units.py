"""What every Units does (cri/systemd/units.py): the fake of unit tests, and systemd itself.

A subclass has a fixture ``units``. What is there under a name that begins with podwrighttest is of a test.
"""

import asyncio
import os
import secrets
import subprocess
import time
from collections.abc import Iterator

import pytest

from cri.systemd.units import Units
from host.systemd import NoSuchUnit, UnitExists, UnitFailed
from host.unit_properties import Property
from tests.harness.patience import patient

BOUND_S = 30
DESCRIPTION = "of a test"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process to put into scopes."""
    yield from _sleep()


@pytest.fixture
def another() -> Iterator[subprocess.Popen[bytes]]:
    """One more."""
    yield from _sleep()


def _sleep() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def name() -> str:
    """The beginning of names that no other test uses; no dash that would be a level."""
    return f"podwrighttest{secrets.token_hex(4)}"


async def scope(units: Units, unit: str, process: subprocess.Popen[bytes], *more: Property) -> None:
    """Start a scope with one process in it."""
    described: list[Property] = [("Description", "s", DESCRIPTION), ("PIDs", "au", [process.pid])]
    await units.start(unit, [*described, ("Delegate", "b", True), *more])


async def gone(units: Units, unit: str) -> None:
    """Wait until nothing is known of a unit."""
    end = time.monotonic() + patient(BOUND_S)
    while await units.description(unit) == DESCRIPTION:
        assert time.monotonic() < end, f"{unit} is still there"
        await asyncio.sleep(0.05)


class UnitsContract:
    """Every test starts and ends without units of its own."""

    async def test_a_scope_has_its_processes(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, sleeper)
        assert await units.description(unit) == DESCRIPTION
        await units.stop(unit)
        sleeper.wait(patient(BOUND_S))
        await gone(units, unit)

    async def test_a_scope_goes_with_its_last_process(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, sleeper)
        sleeper.kill()
        sleeper.wait()
        await gone(units, unit)

    async def test_a_name_is_taken_once(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, sleeper)
        with pytest.raises(UnitExists, match=unit):
            await scope(units, unit, sleeper)
        await units.stop(unit)

    async def test_properties_change(self, units: Units, name: str, sleeper: subprocess.Popen[bytes]) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, sleeper)
        await units.set_properties(unit, [("CPUWeight", "t", 7), ("Description", "s", "another")])
        assert await units.description(unit) == "another"
        await units.stop(unit)

    async def test_a_property_that_is_none_is_refused_in_systemds_words(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, sleeper)
        with pytest.raises(UnitFailed, match=rf"SetUnitProperties of {unit}: .*NoSuchProperty"):
            await units.set_properties(unit, [("NoSuchProperty", "t", 7)])
        await units.stop(unit)

    async def test_a_unit_that_is_not_there_is_named(self, units: Units, name: str) -> None:
        unit = f"{name}.scope"
        with pytest.raises(NoSuchUnit, match=unit):
            await units.set_properties(unit, [("CPUWeight", "t", 7)])
        with pytest.raises(NoSuchUnit, match=unit):
            await units.reset_failed(unit)
        with pytest.raises(NoSuchUnit, match=unit):
            await units.attach(unit, os.getpid())
        assert await units.description(unit) != DESCRIPTION

    async def test_stopping_what_is_not_there_is_fine(self, units: Units, name: str) -> None:
        await units.stop(f"{name}.scope")
        await units.stop(f"{name}.slice")

    async def test_processes_join_a_scope(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes], another: subprocess.Popen[bytes]
    ) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, another)
        await units.attach(unit, sleeper.pid)
        another.kill()
        another.wait()
        assert await units.description(unit) == DESCRIPTION
        sleeper.kill()
        sleeper.wait()
        await gone(units, unit)

    async def test_only_a_delegated_scope_can_be_joined(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        unit = f"{name}.scope"
        await scope(units, unit, sleeper, ("Delegate", "b", False))
        with pytest.raises(UnitFailed, match=unit):
            await units.attach(unit, sleeper.pid)
        await units.stop(unit)

    async def test_a_slice_needs_no_process(self, units: Units, name: str) -> None:
        unit = f"{name}.slice"
        await units.start(unit, [("Description", "s", DESCRIPTION)])
        assert await units.description(unit) == DESCRIPTION
        await units.stop(unit)
        await gone(units, unit)

    async def test_a_slice_is_stopped_with_all_that_is_in_it(
        self, units: Units, name: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        await units.start(f"{name}.slice", [("Description", "s", DESCRIPTION)])
        await scope(units, f"{name}.scope", sleeper, ("Slice", "s", f"{name}.slice"))
        await units.stop(f"{name}.slice")
        sleeper.wait(patient(BOUND_S))
        await gone(units, f"{name}.scope")
        await gone(units, f"{name}.slice")
