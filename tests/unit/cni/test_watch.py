"""Changes in directories are told once they have settled."""

import asyncio
from pathlib import Path

from cni.watch import Watch


async def test_a_burst_is_told_once(tmp_path: Path) -> None:
    told = asyncio.Event()
    count = 0

    def changed() -> None:
        nonlocal count
        count += 1
        told.set()

    watch = Watch([tmp_path, tmp_path / "absent"], changed, quiet_s=0.05)
    watch.start()
    try:
        for number in range(20):
            (tmp_path / f"{number}.conf").write_text("x")
        await asyncio.wait_for(told.wait(), 10)
        assert count == 1
        told.clear()
        (tmp_path / "0.conf").rename(tmp_path / "other.conf")
        await asyncio.wait_for(told.wait(), 10)
    finally:
        watch.close()


async def test_a_directory_that_comes_later_is_watched_from_renew_on(tmp_path: Path) -> None:
    told = asyncio.Event()
    late = tmp_path / "late"
    watch = Watch([late], told.set, quiet_s=0)
    watch.start()
    try:
        assert not watch.renew()
        late.mkdir()
        assert watch.renew()
        assert not watch.renew()
        (late / "plugin").touch()
        await asyncio.wait_for(told.wait(), 10)
        late.rename(tmp_path / "old")
        late.mkdir()
        assert watch.renew()
    finally:
        watch.close()


async def test_nothing_is_told_after_close(tmp_path: Path) -> None:
    calls: list[None] = []
    watch = Watch([tmp_path], lambda: calls.append(None), quiet_s=0)
    watch.start()
    (tmp_path / "x").touch()
    watch.close()
    watch.close()
    await asyncio.sleep(0.01)
    assert calls == []
