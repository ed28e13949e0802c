"""storage/trash: what is small goes at once, what is large behind, and counts until it is gone."""

import asyncio
import errno
from pathlib import Path

import pytest

from storage import trash
from storage.trash import AT_ONCE, Size, Trash

Stuck = dict[Path, OSError]


def tree(path: Path, entries: int) -> Path:
    """A directory with that many files in two levels."""
    for number in range(entries):
        directory = path / str(number % 7)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{number}").write_bytes(b"x")
    return path


@pytest.fixture
def stuck() -> Stuck:
    return {}


@pytest.fixture
def bin_(tmp_path: Path, stuck: Stuck) -> Trash:
    (tmp_path / "ingest").mkdir()
    return Trash(tmp_path / "ingest", stuck.__setitem__)


async def test_a_small_tree_is_gone_at_once(bin_: Trash, tmp_path: Path) -> None:
    thrown = bin_.throw(tree(tmp_path / "small", 20))
    assert bin_.remove_now({thrown: Size(20, 20)}) == {}
    assert not thrown.exists()
    assert bin_.size() == Size()
    bin_.begin()
    await bin_.close()


async def test_large_trees_go_behind_and_count_until_they_are_gone(
    bin_: Trash, tmp_path: Path, stuck: Stuck
) -> None:
    thrown = [bin_.throw(tree(tmp_path / f"large{n}", AT_ONCE + 1)) for n in range(2)]
    assert bin_.remove_now({thrown[0]: Size(1000, 10), thrown[1]: Size(500, 5)}) == {}
    assert not (tmp_path / "large0").exists()
    assert bin_.size() == Size(1500, 15)
    await bin_.settle()
    assert not any(path.exists() for path in thrown)
    assert bin_.size() == Size()
    assert stuck == {}


async def test_what_comes_while_others_go_goes_too(bin_: Trash, tmp_path: Path) -> None:
    bin_.keep(bin_.throw(tree(tmp_path / "one", 1)), Size(1, 1))
    bin_.begin()
    await asyncio.sleep(0)
    bin_.keep(bin_.throw(tree(tmp_path / "two", 1)), Size(1, 1))
    bin_.begin()
    await bin_.settle()
    assert list((tmp_path / "ingest").iterdir()) == []


async def test_what_cannot_be_removed_is_told_and_holds_up_nothing(
    bin_: Trash, tmp_path: Path, stuck: Stuck
) -> None:
    (tmp_path / "ingest/file").write_bytes(b"")
    wrong = tmp_path / "ingest/file/below"
    bin_.keep(wrong, Size(7, 7))
    thrown = bin_.throw(tree(tmp_path / "one", 1))
    bin_.keep(thrown, Size(1, 1))
    await bin_.settle()
    assert {path: error.errno for path, error in stuck.items()} == {wrong: errno.ENOTDIR}
    assert not thrown.exists()
    assert bin_.size() == Size()


async def test_a_process_that_fails_leaves_it_for_the_next_time(
    bin_: Trash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrown = bin_.throw(tree(tmp_path / "one", 1))
    bin_.keep(thrown, Size(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(trash, "_PROGRAM", "import os; os.kill(os.getpid(), 9)")
        await bin_.settle()
    assert thrown.exists()
    assert bin_.size() == Size(1, 1)
    await bin_.settle()
    assert not thrown.exists()


async def test_a_store_that_closes_does_not_wait_for_it(bin_: Trash, tmp_path: Path) -> None:
    bin_.keep(bin_.throw(tree(tmp_path / "one", 1)), Size(1, 1))
    bin_.begin()
    await asyncio.sleep(0)
    await bin_.close()
    await bin_.close()
