from pathlib import Path

import pytest

from host.cgroups import BadCgroupPath, Hierarchy, Tree, own_members, own_paths, stay

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,clone_children
36 31 0:32 / /mnt/again rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_hybrid_counts_as_version_1() -> None:
    found = Hierarchy.detect(HYBRID)
    assert found.version == 1
    assert {"cpu", "cpuacct", "memory", "name=systemd"} <= found.controllers
    assert found.directory("/a/b", "cpuacct") == Path("/sys/fs/cgroup/cpu,cpuacct/a/b")
    assert found.directory("a", "memory") == Path("/sys/fs/cgroup/memory/a")
    assert found.directory("/", "unified") == Path("/sys/fs/cgroup/unified")
    assert found.directory("/a", "rdma") is None
    assert len(found.trees) == 4


def test_unified_is_version_2() -> None:
    assert Hierarchy.detect(UNIFIED).version == 2
    assert Hierarchy.detect("").version == 1


def test_own_paths_differ_by_controller() -> None:
    text = "4:memory:/process\n3:cpu,cpuacct:/\n2:name=systemd:/x:y\n0::/user.slice\n"
    assert own_paths(text) == {
        "memory": "/process",
        "cpu": "/",
        "cpuacct": "/",
        "name=systemd": "/x:y",
        "unified": "/user.slice",
    }


@pytest.fixture
def v1(tmp_path: Path) -> Hierarchy:
    """Two trees of plain directories, the cpuset one with what its root has."""
    for name in ("cpuset", "memory"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    trees = (Tree(tmp_path / "memory", frozenset({"memory"})),)
    return Hierarchy(trees)


def test_create_and_remove_are_idempotent_and_recursive(v1: Hierarchy) -> None:
    v1.create("/a/b/c")
    v1.create("/a/b/c")
    assert v1.exists("/a/b")
    v1.remove("/a")
    v1.remove("/a")
    assert not v1.exists("/a")
    assert v1.pids("/a") == frozenset()


@pytest.mark.parametrize("path", ["", "/", "//", "/."])
def test_the_root_is_never_removed_or_killed(v1: Hierarchy, path: str) -> None:
    with pytest.raises(BadCgroupPath):
        v1.remove(path)
    with pytest.raises(BadCgroupPath):
        v1.kill(path)


@pytest.mark.parametrize("path", ["/a/../..", "..", "/a\0b"])
def test_paths_that_climb_are_refused(v1: Hierarchy, path: str) -> None:
    with pytest.raises(BadCgroupPath):
        v1.create(path)


def test_version_2_hands_controllers_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    tree = Hierarchy((Tree(tmp_path, frozenset({"cpu", "memory"}), v2=True),))
    tree.create("/pod")
    assert (tmp_path / "pod").is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"  # the last of one write each


def test_a_hybrids_unified_tree_keeps_its_controllers(tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2/cgroup.controllers").write_text("hugetlb\n")
    (tmp_path / "v2/cgroup.subtree_control").write_text("")
    (tmp_path / "v1").mkdir()
    trees = (Tree(tmp_path / "v1", frozenset({"memory"})), Tree(tmp_path / "v2", frozenset(), v2=True))
    Hierarchy(trees).create("/pod")
    assert (tmp_path / "v2/cgroup.subtree_control").read_text() == ""
    assert (tmp_path / "v2/pod").is_dir()


def test_staying_writes_to_a_cgroup_that_we_are_in(tmp_path: Path) -> None:
    path = own_paths(Path("/proc/self/cgroup").read_text()).get("unified", "/")
    if ".." in path:  # a cgroup namespace entered from outside shows none of ours
        path = "/"
    unseen = Tree(tmp_path / "unseen", frozenset({"none of this host"}))
    v2 = Tree(tmp_path, frozenset(), v2=True)
    assert own_members(Hierarchy((unseen,))) is None
    stay(Hierarchy((unseen,)))
    members = tmp_path / path.lstrip("/") / "cgroup.procs"
    members.parent.mkdir(parents=True, exist_ok=True)
    members.touch()
    assert own_members(Hierarchy((unseen, v2))) == members
    stay(Hierarchy((unseen, v2)))
    assert members.read_text() == "0"
