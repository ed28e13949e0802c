"""host/files: atomic writes, bounded reads, removal that follows nothing."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from host.files import (
    RESOLVE_IN_ROOT,
    Budget,
    BudgetSpent,
    FileTooLarge,
    openat2,
    read_bounded,
    remove_temporaries,
    remove_tree,
    rename_durable,
    sync_filesystem,
    write_atomic,
)


def test_write_replaces_content_and_mode_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"old")
    write_atomic(path, b"new" * 100_000, 0o600)
    assert path.read_bytes() == b"new" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.mkdir()
    with pytest.raises(OSError, match="name"):
        write_atomic(path, b"data", durable=False)
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


KILLED_WRITER = """
import os, pathlib, signal, sys
from host.files import write_atomic
pathlib.Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_atomic(pathlib.Path(sys.argv[1]), b"data")
"""


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "record").touch()
    (tmp_path / ".hidden").touch()
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, tmp_path / "other"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "record"]
    remove_temporaries(tmp_path / "absent")


@pytest.mark.parametrize(("size", "limit", "fits"), [(0, 0, True), (5, 5, True), (6, 5, False)])
def test_bounded_read_takes_the_limit_and_not_a_byte_more(
    tmp_path: Path, size: int, limit: int, fits: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    if fits:
        assert read_bounded(path, limit) == b"x" * size
    else:
        with pytest.raises(FileTooLarge, match="more than the 5 bytes"):
            read_bounded(path, limit)


def test_rename_moves_between_directories(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/x").write_text("x")
    sync_filesystem(tmp_path)
    rename_durable(tmp_path / "a/x", tmp_path / "b/y")
    assert (tmp_path / "b/y").read_text() == "x"
    assert not (tmp_path / "a/x").exists()


def test_remove_tree_takes_files_links_and_missing_paths(tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").write_text("stays")
    tree = tmp_path / "tree"
    (tree / "sub/deeper").mkdir(parents=True)
    (tree / "sub/file").write_text("goes")
    (tree / "link").symlink_to(keep)
    remove_tree(tree)
    remove_tree(tree)
    remove_tree(tmp_path / "no/such/parent")
    single = tmp_path / "single"
    single.symlink_to(keep)
    remove_tree(single)
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]
    assert (keep / "file").read_text() == "stays"


def test_remove_tree_is_not_limited_in_depth(tmp_path: Path) -> None:
    depth = 1500
    top = tmp_path / "tree"
    top.mkdir()
    current = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=current)
        child = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=current)
        os.close(current)
        current = child
    os.close(current)
    remove_tree(top)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_openat2_keeps_absolute_links_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("inside")
    (root / "link").symlink_to("/../../etc/passwd")
    directory = os.open(root, os.O_PATH)
    try:
        with os.fdopen(openat2(directory, "link", os.O_RDONLY, resolve=RESOLVE_IN_ROOT)) as file:
            assert file.read() == "inside"
    finally:
        os.close(directory)


def test_a_budget_bounds_what_several_removals_take_away(tmp_path: Path) -> None:
    for top in ("a", "b"):
        for number in range(3):
            (tmp_path / top / str(number)).mkdir(parents=True)
    budget = Budget(5)
    remove_tree(tmp_path / "a", budget)
    assert not (tmp_path / "a").exists()
    with pytest.raises(BudgetSpent):
        remove_tree(tmp_path / "b", budget)
    assert len(list((tmp_path / "b").iterdir())) == 1
    remove_tree(tmp_path / "b")
    assert not (tmp_path / "b").exists()
