"""Sub-paths of a mounted volume; the mounting itself is in the integration tests."""

import os
from pathlib import Path

import pytest

from storage.image_volumes import BadSubPath, resolve


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
