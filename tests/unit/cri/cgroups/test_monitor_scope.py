import os
import subprocess
from pathlib import Path

import pytest

from cri.cgroups.monitor_scope import SCOPE, house, is_housed, move
from tests.contract.units import another, sleeper
from tests.unit.cri.systemd.fake import FakeUnits

__all__ = ["another", "sleeper"]


async def test_the_monitor_gets_a_scope_in_the_configured_slice(sleeper: subprocess.Popen[bytes]) -> None:
    units = FakeUnits()
    await move(units, sleeper.pid, "pods.slice")
    assert units.loaded[SCOPE].properties["Slice"] == "pods.slice"
    assert units.loaded[SCOPE].pids == [sleeper.pid]


async def test_the_next_monitor_joins_a_scope_that_is_still_there(
    sleeper: subprocess.Popen[bytes], another: subprocess.Popen[bytes]
) -> None:
    units = FakeUnits()
    await move(units, sleeper.pid, "system.slice")
    await move(units, another.pid, "system.slice")
    assert units.loaded[SCOPE].pids == [sleeper.pid, another.pid]


async def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    await house(os.getpid(), "system.slice", tmp_path / "none")
    assert not is_housed(os.getpid())


async def test_a_bus_that_does_not_answer_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    await house(os.getpid(), "system.slice", tmp_path)
    assert "the monitor stays in the daemon's cgroup" in caplog.text
