from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cri.systemd.manager import Manager
from host.systemd import NoSuchUnit, UnitExists, UnitFailed
from tests.unit.cri.systemd.served import ServedBus, fails, job, returns, served


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[ServedBus]:
    async with served(tmp_path) as bus:
        yield bus


@pytest.fixture
async def manager(systemd: ServedBus) -> AsyncIterator[Manager]:
    made = Manager(address=systemd.address, timeout_s=20)
    yield made
    await made.close()


@pytest.mark.parametrize("signal_first", [False, True])
async def test_a_job_is_waited_for(systemd: ServedBus, manager: Manager, signal_first: bool) -> None:
    systemd.answers["StopUnit"] = job("done", signal_first=signal_first)
    await manager.stop("x.scope")
    await manager.stop("x.scope")


async def test_a_job_that_fails_names_unit_and_result(systemd: ServedBus, manager: Manager) -> None:
    systemd.answers["StartTransientUnit"] = job("timeout")
    with pytest.raises(UnitFailed, match=r"StartTransientUnit of x\.scope ended with the result timeout"):
        await manager.start("x.scope", [("PIDs", "au", [1])])


async def test_a_job_without_end_is_an_error(systemd: ServedBus) -> None:
    manager = Manager(address=systemd.address, timeout_s=0.05)
    systemd.answers["StopUnit"] = returns("o", "/org/freedesktop/systemd1/job/6")
    with pytest.raises(UnitFailed, match=r"StopUnit of x\.scope has not ended within 0\.05 s"):
        await manager.stop("x.scope")
    await manager.close()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("org.freedesktop.systemd1.NoSuchUnit", NoSuchUnit),
        ("org.freedesktop.systemd1.UnitExists", UnitExists),
        ("org.freedesktop.DBus.Error.AccessDenied", UnitFailed),
    ],
)
async def test_errors_have_a_meaning_and_systemds_words(
    systemd: ServedBus, manager: Manager, name: str, error: type[Exception]
) -> None:
    systemd.answers["SetUnitProperties"] = fails(name, "not with this one")
    with pytest.raises(error, match=r"SetUnitProperties of x\.scope: not with this one"):
        await manager.set_properties("x.scope", [("CPUWeight", "t", 1)])


async def test_properties_are_in_force_when_they_are_set(systemd: ServedBus, manager: Manager) -> None:
    systemd.answers["SetUnitProperties"] = returns("")
    systemd.answers["Get"] = returns("v", ("s", "x.scope"))
    await manager.set_properties("x.scope", [("CPUWeight", "t", 1)])
    assert systemd.heard[-2:] == ["SetUnitProperties", "Get"]


async def test_properties_are_read(systemd: ServedBus, manager: Manager) -> None:
    systemd.answers["Get"] = returns("v", ("s", "257.1"))
    assert await manager.version() == "257.1"
