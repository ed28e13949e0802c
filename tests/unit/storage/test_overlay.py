"""What is known of the space that containers take while it is measured, or cannot be."""

import asyncio
import errno
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from api.ids import ContainerId, new_container_id
from storage import overlay
from storage.overlay import RootfsManager, RootfsNotFound

Measure = Callable[[Path], tuple[int, int]]


@pytest.fixture
def container(tmp_path: Path) -> ContainerId:
    identifier = new_container_id()
    (tmp_path / "containers" / identifier / "upper").mkdir(parents=True)
    return identifier


def _manager(root: Path, **options: float) -> RootfsManager:
    """One that measures whenever it is asked."""
    return RootfsManager(root, cast(Any, None), cast(Any, None), usage_ttl_s=0.0, **options)


def _failing(_: Path) -> tuple[int, int]:
    raise OSError(errno.EIO, "the disk has a hole")


async def _measured(manager: RootfsManager) -> None:
    """Wait for the measurements that have begun."""
    if manager._measuring:
        await asyncio.wait(manager._measuring.values())


async def test_callers_at_the_same_time_share_one_measurement(
    tmp_path: Path, container: ContainerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Path] = []
    begun, let_go = threading.Event(), threading.Event()

    def measure(path: Path) -> tuple[int, int]:
        measured.append(path)
        begun.set()
        let_go.wait()
        return 4096, 1

    monkeypatch.setattr(overlay, "disk_usage", measure)
    manager = _manager(tmp_path)
    asking = [asyncio.create_task(manager.usage(container)) for _ in range(5)]
    await asyncio.to_thread(begun.wait)
    asking.append(asyncio.create_task(manager.usage(container)))
    asking.pop(0).cancel()
    let_go.set()
    assert await asyncio.gather(*asking) == [(4096, 1)] * 5
    assert len(measured) == 1


async def test_what_was_known_is_told_when_it_cannot_be_measured_again(
    tmp_path: Path,
    container: ContainerId,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = _manager(tmp_path)
    known = await manager.usage(container)
    monkeypatch.setattr(overlay, "disk_usage", _failing)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await manager.usage(container) == known
            await _measured(manager)
    assert len(caplog.records) == 1
    assert "the disk has a hole" in caplog.text


async def test_nobody_waits_for_what_is_measured_anew(
    tmp_path: Path, container: ContainerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = _manager(tmp_path)
    known = await manager.usage(container)
    let_go = threading.Event()

    def measure(_: Path) -> tuple[int, int]:
        let_go.wait()
        return 8192, 2

    monkeypatch.setattr(overlay, "disk_usage", measure)
    assert [await manager.usage(container) for _ in range(3)] == [known] * 3
    let_go.set()
    await _measured(manager)
    assert await manager.usage(container) == (8192, 2)


async def test_what_was_never_measured_is_not_known(
    tmp_path: Path, container: ContainerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "disk_usage", _failing)
    manager = _manager(tmp_path)
    with pytest.raises(OSError, match="the disk has a hole"):
        await manager.usage(container)
    monkeypatch.undo()
    with pytest.raises(RootfsNotFound):
        await manager.usage(new_container_id())


async def test_a_tree_that_takes_long_is_told_of_when_it_is_done(
    tmp_path: Path, container: ContainerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    def measure(_: Path) -> tuple[int, int]:
        let_go.wait()
        return 8192, 2

    monkeypatch.setattr(overlay, "disk_usage", measure)
    impatient = _manager(tmp_path, usage_patience_s=0.0)
    with pytest.raises(TimeoutError):
        await impatient.usage(container)
    let_go.set()
    await _measured(impatient)
    assert await impatient.usage(container) == (8192, 2)
