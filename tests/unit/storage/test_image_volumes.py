"""Sub-paths of a mounted volume; the mounting itself is in the integration tests."""

import os
from pathlib import Path

import pytest

from storage.image_volumes import BadSubPath, empty_layer, resolve


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("")
    top = tmp_path / "volume"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("")
    (top / "a/inside").symlink_to("/a/b")
    (top / "a/out").symlink_to(tmp_path / "outside")
    (top / "a/up").symlink_to("../../../../a/b")
    (top / "loop").symlink_to("loop")
    os.mkfifo(top / "fifo")
    return top


@pytest.mark.parametrize(
    ("sub_path", "found"),
    [
        ("", "."),
        ("a", "a"),
        ("a/b/", "a/b"),
        ("./a//b", "a/b"),
        ("a/file", "a/file"),
        ("a/inside", "a/b"),
        ("a/up", "a/b"),  # ".." ends at the top
    ],
)
def test_what_is_in_the_image(volume: Path, sub_path: str, found: str) -> None:
    assert resolve(volume, sub_path) == (volume / found)


@pytest.mark.parametrize(
    "sub_path",
    ["/a", "..", "a/../../outside", "a/..", "missing", "a/out", "a/out/secret", "loop", "fifo", "a\0"],
)
def test_what_is_not_in_it_or_leads_out(volume: Path, sub_path: str) -> None:
    with pytest.raises(BadSubPath) as caught:
        resolve(volume, sub_path)
    assert repr(sub_path) in str(caught.value)


def test_the_root_of_an_image_without_layers_is_an_ordinary_directory_behind_a_closed_one(
    tmp_path: Path,
) -> None:
    own = os.umask(0o077)
    try:
        paths = {empty_layer(tmp_path) for _ in range(2)}
    finally:
        os.umask(own)
    (path,) = paths
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o755, 0o700]
