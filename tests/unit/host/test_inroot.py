"""Paths inside a foreign root: whatever its links say, nothing outside is reached or made."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.inroot import find_or_make, is_directory, make_directories, make_file, open_inside, read_bounded


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """``root`` with links that try to leave it, beside a file and directory that they aim at."""
    root = tmp_path / "root"
    (root / "real/deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "file").write_text("inside")
    (root / "up").symlink_to("../../../outside")
    (root / "absolute").symlink_to("/real")
    (root / "dangling").symlink_to("/made/by/link")
    (root / "climbing").symlink_to("../../outside/new")
    (root / "loop").symlink_to("loop")
    (root / "magic").symlink_to("/proc/self/root")
    return root


@pytest.fixture
def root(top: Path) -> Iterator[int]:
    descriptor = os.open(top, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def where(descriptor: int) -> Path:
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/", "."),
        ("", "."),
        ("real", "real"),
        ("/absolute/deep", "real/deep"),
        ("/../../real", "real"),
        ("real/../../../file", "file"),
    ],
)
def test_a_path_ends_inside(root: int, top: Path, path: str, reached: str) -> None:
    assert where(open_inside(root, path)) == (top / reached).resolve()


@pytest.mark.parametrize("path", ["up", "up/x", "magic", "dangling", "nothing", "loop"])
def test_what_is_not_inside_is_not_found(root: int, path: str) -> None:
    with pytest.raises(OSError, match=r"No such file|symbolic links"):
        open_inside(root, path)


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("a/b/c", "a/b/c"),
        ("absolute/x", "real/x"),
        ("dangling", "made/by/link"),
        ("dangling/more", "made/by/link/more"),
        ("climbing/x", "outside/new/x"),
        ("up", "outside"),
        ("../../a", "a"),
    ],
)
def test_directories_are_made_inside(root: int, top: Path, path: str, made: str) -> None:
    assert where(make_directories(root, path)) == top / made
    assert (top / made).is_dir()
    assert list((top.parent / "outside").iterdir()) == []


def test_a_loop_is_no_directory(root: int) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        make_directories(root, "loop/x")


@pytest.mark.parametrize(
    ("path", "made"),
    [("x/file", "x/file"), ("dangling", "made/by/link"), ("climbing", "outside/new"), ("file", "file")],
)
def test_files_are_made_inside(root: int, top: Path, path: str, made: str) -> None:
    assert where(make_file(root, path)) == top / made
    assert (top / made).is_file()
    assert (top / "file").read_text() == "inside"
    assert list((top.parent / "outside").iterdir()) == []


def test_what_is_there_is_found(root: int, top: Path) -> None:
    assert where(find_or_make(root, "absolute", directory=False)) == top / "real"
    made = find_or_make(root, "new", directory=True)
    assert is_directory(made)
    os.close(made)


def test_reading_is_bounded_and_of_plain_files(root: int, top: Path) -> None:
    os.mkfifo(top / "fifo")
    assert read_bounded(root, "file", 3) == b"ins"
    for path in ("fifo", "nothing", "real", "up"):
        assert read_bounded(root, path, 3) == b""
