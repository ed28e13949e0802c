"""Measuring a tree that belongs to somebody else, who changes it meanwhile."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host.disk_usage import disk_usage
from host.files import remove_tree
from tests.harness import processes
from tests.harness.processes import descriptor_count

# Longer than a path may be, deeper than descriptors and the stack reach.
DEPTH = 2000


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tree"
    path.mkdir()
    yield path
    remove_tree(path)


def test_hard_links_count_once(tree: Path) -> None:
    (tree / "a").write_bytes(bytes(8192))
    (tree / "b").hardlink_to(tree / "a")
    (tree / "d").mkdir()
    size, inodes = disk_usage(tree)
    assert inodes == 3
    assert 8192 <= size < 16384 + 8192


def test_depth_is_not_limited(tree: Path) -> None:
    current = os.open(tree, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("beside", dir_fd=current)
        os.mkdir("deeper", dir_fd=current)
        below = os.open("deeper", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)
    before = _descriptors()
    assert disk_usage(tree)[1] == 1 + 2 * DEPTH
    assert _descriptors() == before


def _descriptors() -> int:
    gc.collect()  # what earlier tests have dropped is not ours
    return descriptor_count()


def _vanishes(directory: Path) -> None:
    remove_tree(directory)


def _becomes_a_file(directory: Path) -> None:
    remove_tree(directory)
    directory.touch()


def _becomes_a_link(directory: Path) -> None:
    outside = directory.parent.parent / "outside"
    outside.mkdir()
    (outside / "file").touch()
    remove_tree(directory)
    directory.symlink_to(outside)


@pytest.mark.parametrize("change", [_vanishes, _becomes_a_file, _becomes_a_link])
def test_a_directory_that_changes_before_it_is_entered_is_passed_over(
    change: Callable[[Path], None], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "victim").mkdir()
    (tree / "victim/below").touch()
    (tree / "other").mkdir()
    (tree / "other/below").touch()
    _before_opening("victim", lambda: change(tree / "victim"), monkeypatch)
    assert disk_usage(tree)[1] == 4  # the top, both directories as they were seen, and other/below


def test_a_directory_that_is_moved_away_while_it_is_counted_does_not_lead_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "kept/moved").mkdir(parents=True)
    for beside in (tree / "beside", tree.parent / "outside", tree.parent / "outside/more"):
        beside.mkdir()
        (beside / "below").touch()
    moved_to = tree.parent / "outside/moved"
    _before_opening("..", lambda: (tree / "kept/moved").rename(moved_to), monkeypatch)
    assert disk_usage(tree)[1] == 5  # the top, kept, moved, beside and beside/below


def test_levels_that_are_moved_are_given_up_but_not_what_is_above(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "gone/moved").mkdir(parents=True)
    (tree / "beside").mkdir()
    (tree / "beside/below").touch()

    def move() -> None:
        (tree / "gone/moved").rename(tree.parent / "moved")
        (tree / "gone").rename(tree.parent / "gone")

    _before_opening("..", move, monkeypatch)
    assert disk_usage(tree)[1] == 5  # the top, gone, moved, beside and beside/below


def test_a_tree_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk_usage(tmp_path / "absent")


def _before_opening(name: str, change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``change`` happen right before ``name`` is opened, the first time."""
    real, left = os.open, [change]

    def changing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == name and left and (name != ".." or _name_of(dir_fd) == "moved"):
            left.pop()()
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", changing)


def _name_of(descriptor: int | None) -> str:
    return Path(processes.link("self", f"fd/{descriptor}")).name
