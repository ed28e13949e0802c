import os
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, cast

import pytest

from conf.schema import Config
from cri.containers.declared_volumes import (
    DIRECTORIES_LIMIT,
    VOLUMES_LIMIT,
    Abandoned,
    make_directory,
    prepare,
)
from cri.node import Node
from host.files import remove_tree
from oci.generate.inputs import BadContainer
from tests.unit.cri.made import TARGET


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


@pytest.mark.parametrize("volume", ["/../../etc/x", "//a/./b/", "a/b/../c", "/a/../../.."])
def test_dots_are_resolved_by_the_text(rootfs: Path, tmp_path: Path, volume: str) -> None:
    make_directory(rootfs, volume)
    assert list((tmp_path / "outside").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "rootfs"}


@pytest.mark.parametrize("volume", ["/a\0b", "/\ud800", "/" + "a/" * 3000, "/" + "a" * 300])
def test_what_is_no_path_is_refused_in_few_words(rootfs: Path, volume: str) -> None:
    with pytest.raises(BadContainer, match="image volume") as caught:
        make_directory(rootfs, volume)
    assert len(str(caught.value)) < 300


def test_a_deep_volume_is_made_to_its_end(rootfs: Path) -> None:
    try:
        make_directory(rootfs, "/data" + "/a" * 1500)
        make_directory(rootfs, "/there" + "/a" * 1500 + "/b")
        assert [path.name for path in (rootfs / "there/a").iterdir()] == ["a"]
        deepest = rootfs / ("there" + "/a" * 1500)
        assert [path.name for path in deepest.iterdir()] == ["b"]
    finally:
        remove_tree(rootfs)  # deeper than others can remove


def _prepare(
    rootfs: Path, volumes: list[str], *, abandoned: bool = False, how: Literal["mkdir", "ignore"] = "mkdir"
) -> None:
    config = Config(image=replace(Config().image, image_volumes=how))
    node = cast(Node, SimpleNamespace(config=config))
    prepare(node, replace(TARGET, abandoned=abandoned), volumes, rootfs)


def test_an_image_has_so_many_volumes_and_directories_and_no_more(rootfs: Path) -> None:
    _prepare(rootfs, [f"/v/{number}" for number in range(VOLUMES_LIMIT)])
    assert len(list((rootfs / "v").iterdir())) == VOLUMES_LIMIT
    for volumes in (
        [f"/w/{number}" for number in range(VOLUMES_LIMIT + 1)],
        [f"/w/{number}" + "/a" * 1500 for number in range(DIRECTORIES_LIMIT // 1500 + 1)],
    ):
        with pytest.raises(BadContainer, match=r"image volumes: .*more than"):
            _prepare(rootfs, volumes)
        assert not (rootfs / "w").exists()  # nothing is made before all are counted
        _prepare(rootfs, volumes, how="ignore")


def test_the_work_ends_when_nobody_wants_the_container(rootfs: Path) -> None:
    with pytest.raises(Abandoned):
        _prepare(rootfs, ["/w"], abandoned=True)
    assert not (rootfs / "w").exists()


def test_what_is_made_belongs_to_the_containers_user_and_what_is_there_to_its_owner(rootfs: Path) -> None:
    inside = rootfs.stat()
    found = make_directory(rootfs, "/new/one", (0, 0))
    assert (found.st_uid, found.st_gid) == (inside.st_uid, inside.st_gid)
    before = (rootfs / "there").stat()
    found = make_directory(rootfs, "/there", (5, 6))
    assert (found.st_uid, found.st_gid) == (before.st_uid, before.st_gid)
