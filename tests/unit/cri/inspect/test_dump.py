"""Dumps: bounded in size and number, for root alone, and possible at any moment."""

import asyncio
import signal
import stat
import threading
from pathlib import Path

import pytest

from cri.inspect import dump


async def test_tasks_and_threads_are_in_it(tmp_path: Path) -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="worker")
    thread.start()
    task = asyncio.create_task(asyncio.Event().wait(), name="waiting")
    await asyncio.sleep(0)
    text = dump.write(tmp_path / "dumps", asyncio.get_running_loop()).read_text()
    release.set()
    thread.join()
    task.cancel()
    assert "thread worker:" in text
    assert "thread MainThread:" in text
    assert "task waiting:" in text


async def test_it_is_for_root_alone_and_the_oldest_make_room(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    written = [dump.write(tmp_path / "dumps", loop) for _ in range(dump.KEPT + 3)]
    left = sorted((tmp_path / "dumps").iterdir())
    assert len(left) == dump.KEPT
    assert written[-1] in left
    assert {stat.S_IMODE(path.stat().st_mode) for path in left} == {0o600}
    assert stat.S_IMODE((tmp_path / "dumps").stat().st_mode) == 0o700


async def test_it_is_bounded_whatever_tasks_are_called() -> None:
    tasks = [asyncio.create_task(asyncio.Event().wait(), name="\x1b[31m\n" * 99) for _ in range(50)]
    await asyncio.sleep(0)
    text = dump.text(asyncio.get_running_loop(), limit_bytes=5000)
    for task in tasks:
        task.cancel()
    assert len(text.encode()) <= 5000
    assert text.endswith("the rest is left out\n")
    assert text.isascii()
    assert "\x1b" not in text


async def test_a_loop_that_is_kept_from_turning_is_seen_all_the_same(tmp_path: Path) -> None:
    """As cri/daemon.py has it: the interpreter's own handler runs between two steps of a busy main thread."""
    loop = asyncio.get_running_loop()
    written: list[Path] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: written.append(dump.write(tmp_path / "dumps", loop)))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    [path] = written
    assert "test_a_loop_that_is_kept_from_turning" in path.read_text()


async def test_a_full_disk_leaves_no_half_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dump, "text", full)
    with pytest.raises(OSError, match="No space"):
        dump.write(tmp_path / "dumps", asyncio.get_running_loop())
    assert list((tmp_path / "dumps").iterdir()) == []
