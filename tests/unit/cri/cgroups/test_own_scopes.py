import os
import subprocess
from pathlib import Path

import pytest

from cri.cgroups.own_scopes import MONITOR, UNPACK, OwnScope, house, is_housed, move
from tests.contract.units import another, sleeper
from tests.unit.cri.systemd.fake import FakeUnits

__all__ = ["another", "sleeper"]


async def test_the_monitor_gets_a_scope_in_the_configured_slice(sleeper: subprocess.Popen[bytes]) -> None:
    units = FakeUnits()
    await move(units, sleeper.pid, MONITOR, "pods.slice")
    assert units.loaded[MONITOR.name].properties["Slice"] == "pods.slice"
    assert units.loaded[MONITOR.name].pids == [sleeper.pid]


async def test_the_next_monitor_joins_a_scope_that_is_still_there(
    sleeper: subprocess.Popen[bytes], another: subprocess.Popen[bytes]
) -> None:
    units = FakeUnits()
    await move(units, sleeper.pid, MONITOR, "system.slice")
    await move(units, another.pid, MONITOR, "system.slice")
    assert units.loaded[MONITOR.name].pids == [sleeper.pid, another.pid]


async def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    await house(os.getpid(), MONITOR, "system.slice", tmp_path / "none")
    assert not is_housed(os.getpid(), MONITOR)


async def test_what_unpacks_and_what_monitors_are_apart(
    sleeper: subprocess.Popen[bytes], another: subprocess.Popen[bytes]
) -> None:
    units = FakeUnits()
    await move(units, sleeper.pid, MONITOR, "system.slice")
    await move(units, another.pid, UNPACK, "system.slice")
    assert {name: unit.pids for name, unit in units.loaded.items()} == {
        "podwright-monitor.scope": [sleeper.pid],
        "podwright-unpack.scope": [another.pid],
    }
    assert units.loaded[MONITOR.name].properties["DefaultDependencies"] is False
    assert "DefaultDependencies" not in units.loaded[UNPACK.name].properties


@pytest.mark.parametrize("scope", [MONITOR, UNPACK])
async def test_a_bus_that_does_not_answer_stops_nobody(
    scope: OwnScope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    await house(os.getpid(), scope, "system.slice", tmp_path)
    assert f"{scope.who} stays in the daemon's cgroup" in caplog.text
