"""storage/tree_digest: the same for the same tree wherever it lies, and another for every difference."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.tree_digest import tree_digest


def grow(tree: Path) -> Path:
    (tree / "d/e").mkdir(parents=True)
    (tree / "d/f").write_bytes(b"content")
    (tree / "d/again").hardlink_to(tree / "d/f")
    (tree / "l").symlink_to("d/f")
    os.mkfifo(tree / "p")
    (tree / os.fsdecode(b"\xff")).mkdir()
    for directory, names, files in os.walk(os.fsencode(tree), topdown=False):
        for name in [*names, *files, b"."]:
            os.utime(directory + b"/" + name, ns=(5, 5), follow_symlinks=False)
    return tree


def test_it_does_not_depend_on_where_a_tree_lies(tmp_path: Path) -> None:
    found = {tree_digest(grow(tmp_path / name)) for name in ("a", "b")}
    assert len(found) == 1
    assert len(found.pop()) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "d/f").chmod(0o600),
        lambda tree: os.utime(tree / "d/f", ns=(5, 6)),
        lambda tree: os.utime(tree, ns=(5, 6)),
        lambda tree: (tree / "d/e").rename(tree / "d/g"),
        lambda tree: (tree / "d/e").rmdir(),
        lambda tree: (tree / "new").touch(),
        lambda tree: (tree / "p").unlink(),
        lambda tree: os.setxattr(tree / "d/f", "user.a", b"b"),
    ],
)
def test_every_difference_shows(tmp_path: Path, change: Callable[[Path], None]) -> None:
    tree = grow(tmp_path / "a")
    before = tree_digest(tree)
    change(tree)
    assert tree_digest(tree) != before


def kept_times(tree: Path, change: Callable[[], None]) -> None:
    """Make a change and put the times back, as a disk that lies leaves them."""
    times = {path: path.lstat().st_mtime_ns for path in (tree, *tree.rglob("*"))}
    change()
    for path, time in times.items():
        if os.path.lexists(path):
            os.utime(path, ns=(time, time), follow_symlinks=False)


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def test_one_bit_of_content_shows(tmp_path: Path) -> None:
    tree = grow(tmp_path / "a")
    before = tree_digest(tree)
    kept_times(tree, lambda: write(tree / "d/f", b"contenu"))
    assert tree_digest(tree) != before


def test_a_link_that_became_a_copy_shows(tmp_path: Path) -> None:
    tree = grow(tmp_path / "a")
    before = tree_digest(tree)

    def part() -> None:
        shutil.copy2(tree / "d/f", tree / "d/copy")
        (tree / "d/copy").rename(tree / "d/again")

    kept_times(tree, part)
    assert tree_digest(tree) != before


def test_another_target_of_a_symlink_shows(tmp_path: Path) -> None:
    tree = grow(tmp_path / "a")
    before = tree_digest(tree)

    def turn() -> None:
        (tree / "l").unlink()
        (tree / "l").symlink_to("d/g")

    kept_times(tree, turn)
    assert tree_digest(tree) != before
