"""The cgroupfs driver over plain directories; what a kernel does beside taking texts is in the integration
tests."""

import os
from pathlib import Path

import pytest

from host.cgroup_limits import MissingController
from host.cgroups import Tree
from oci.run.cgroups.files import FilesCgroup
from oci.run.cgroups.place import Place
from oci.run.cgroups.types import BadResources, CgroupInUse


@pytest.fixture
def trees(tmp_path: Path) -> list[Tree]:
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
    return [Tree(tmp_path / name, frozenset({name})) for name in ("memory", "pids")]


def cgroup(trees: list[Tree], *, rootless: bool = False) -> FilesCgroup:
    return FilesCgroup([Place(tree, "a/b") for tree in trees], rootless=rootless)


def left(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/b"))


def test_made_in_every_tree_and_deleted(trees: list[Tree], tmp_path: Path) -> None:
    made = cgroup(trees)
    made.create(None)
    assert left(tmp_path) == ["memory/a/b", "pids/a/b"]
    made.delete()
    made.delete()
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("resources", "error"),
    [
        ({"memory": {"limit": 5}}, MissingController),  # a plain directory has no such file
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, MissingController),
        ({"memory": {"limit": "much"}}, BadResources),
        ({"devices": [{"allow": 1}]}, BadResources),
        ({"unified": {"memory.high": "1"}}, BadResources),
    ],
)
def test_a_creation_that_fails_leaves_nothing(
    trees: list[Tree], tmp_path: Path, resources: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        cgroup(trees).create(resources)
    assert left(tmp_path) == []


def test_a_cgroup_with_processes_is_not_taken_over(trees: list[Tree], tmp_path: Path) -> None:
    (tmp_path / "pids/a/b/c").mkdir(parents=True)
    (tmp_path / "pids/a/b/c/cgroup.procs").write_text(f"{os.getpid()}\n")
    with pytest.raises(CgroupInUse, match=rf"pids/a/b is not empty: processes \[{os.getpid()}\]"):
        cgroup(trees).create(None)
    assert left(tmp_path) == ["pids/a/b"]  # which is not ours


def test_a_frozen_cgroup_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/cgroup.freeze").write_text("1\n")
    with pytest.raises(CgroupInUse, match="is frozen"):
        cgroup([Tree(tmp_path, frozenset({"memory"}), v2=True)]).create(None)


def test_an_empty_one_that_is_there_is_taken(trees: list[Tree], tmp_path: Path) -> None:
    (tmp_path / "pids/a/b").mkdir(parents=True)
    cgroup(trees).create({})
    assert left(tmp_path) == ["memory/a/b", "pids/a/b"]


def test_processes_are_found_in_every_tree(trees: list[Tree], tmp_path: Path) -> None:
    made = cgroup(trees)
    made.create(None)
    (tmp_path / "pids/a/b/cgroup.procs").write_text("9\n10\n")
    (tmp_path / "memory/a/b/cgroup.procs").write_text("8\n10\n")
    assert made.pids() == [8, 9, 10]


def test_without_a_freezer_nothing_can_be_paused(trees: list[Tree]) -> None:
    made = cgroup(trees)
    made.create(None)
    assert not made.frozen()
    with pytest.raises(MissingController, match="freezer"):
        made.freeze()


@pytest.mark.parametrize("kind", ["domain invalid", "threaded"])
def test_version_2_below_threads_has_no_memory_limit(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/cgroup.type").write_text(f"{kind}\n")
    tree = Tree(tmp_path, frozenset({"memory", "pids"}), v2=True)
    with pytest.raises(BadResources, match=f"is {kind}: it cannot limit memory"):
        cgroup([tree]).create({"memory": {"limit": 4096}})


def test_version_2_hands_controllers_down_on_the_whole_way(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "a"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.controllers").write_text("memory pids\n")
        (directory / "cgroup.subtree_control").write_text("")
    (tmp_path / "a/b").mkdir()
    made = cgroup([Tree(tmp_path, frozenset({"memory", "pids"}), v2=True)])
    with pytest.raises(MissingController):
        made.create({"pids": {"limit": 5}})
    for directory in (tmp_path, tmp_path / "a"):  # a plain file keeps the last write over the first
        assert (directory / "cgroup.subtree_control").read_text().startswith("+pids")
