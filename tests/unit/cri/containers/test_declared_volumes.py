import os
import stat
from pathlib import Path

import pytest

from cri.containers.declared_volumes import make_directory
from oci.generate.inputs import BadContainer


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    root = tmp_path / "rootfs"
    (root / "there").mkdir(parents=True, mode=0o700)
    (root / "file").write_text("")
    (root / "data").symlink_to("/there")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to("/nowhere")
    return root


def test_a_missing_directory_is_made_with_its_parents(rootfs: Path) -> None:
    own = os.umask(0o077)
    try:
        found = make_directory(rootfs, "/new/one")
    finally:
        os.umask(own)
    assert [stat.S_IMODE(each.st_mode) for each in (found, (rootfs / "new").stat())] == [0o755, 0o755]
    assert (rootfs / "new/one").is_dir()


def test_one_that_is_there_stays_as_it_is(rootfs: Path) -> None:
    assert stat.S_IMODE(make_directory(rootfs, "/there/").st_mode) == 0o700


def test_links_are_those_of_the_image(rootfs: Path) -> None:
    make_directory(rootfs, "data/deep")
    assert (rootfs / "there/deep").is_dir()


@pytest.mark.parametrize("path", ["/out", "/out/x", "/dangling", "/file", "/file/x"])
def test_nothing_is_made_outside_or_in_place_of_something_else(
    rootfs: Path, tmp_path: Path, path: str
) -> None:
    with pytest.raises(BadContainer, match="image volume"):
        make_directory(rootfs, path)
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_is_made_belongs_to_the_containers_user_and_what_is_there_to_its_owner(rootfs: Path) -> None:
    inside = rootfs.stat()
    found = make_directory(rootfs, "/new/one", (0, 0))
    assert (found.st_uid, found.st_gid) == (inside.st_uid, inside.st_gid)
    before = (rootfs / "there").stat()
    found = make_directory(rootfs, "/there", (5, 6))
    assert (found.st_uid, found.st_gid) == (before.st_uid, before.st_gid)
