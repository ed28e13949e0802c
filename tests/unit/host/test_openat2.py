import os
from pathlib import Path

import pytest

from host.openat2 import LinkOnTheWay, make_directories_without_links, open_without_links


def test_directories_are_made_with_their_mode_whatever_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        descriptor = make_directories_without_links(f"{tmp_path}/a/b/c/", 0o755)
    finally:
        os.umask(mask)
    assert os.path.samestat(os.fstat(descriptor), (tmp_path / "a/b/c").stat())
    os.close(descriptor)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.rglob("*"))] == [0o755] * 3


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    os.close(make_directories_without_links(f"{tmp_path}/a", 0o755))
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("part", ["a", "a/b", "a/b/c"])
def test_a_link_on_the_way_is_named_and_nothing_is_made_behind_it(tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / part
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    with pytest.raises(LinkOnTheWay) as caught:
        make_directories_without_links(f"{tmp_path}/a/b/c", 0o755)
    assert caught.value.filename == str(link)
    assert list(elsewhere.iterdir()) == []


def test_a_dangling_link_is_not_made_whole(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "target")
    with pytest.raises(LinkOnTheWay):
        open_without_links(f"{tmp_path}/file", os.O_WRONLY | os.O_CREAT, 0o600)
    assert not (tmp_path / "target").exists()


def test_a_file_where_a_directory_belongs_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError):
        make_directories_without_links(f"{tmp_path}/a/b", 0o755)
