from pathlib import Path

import pytest

from api.errors import Unavailable
from cri.cli.examine.cgroups import cgroups, driver
from cri.cli.examine.findings import Level
from host.cgroups import Hierarchy, Tree

BASE = Path("/sys/fs/cgroup")
V1 = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids")


def silent() -> str:
    raise Unavailable("no system bus at unix:path=/none")


def version_1(*names: str) -> tuple[Tree, ...]:
    return tuple(Tree(BASE / name, frozenset({name})) for name in names)


def version_2(*names: str, root: Path = BASE) -> Tree:
    return Tree(root, frozenset(names), v2=True)


@pytest.mark.parametrize(
    ("trees", "layout"),
    [
        (version_1(*V1), "version 1"),
        ((version_2("cpu", "cpuset", "memory", "pids", "io"),), "version 2"),
        ((*version_1(*V1), version_2(root=BASE / "unified")), "hybrid"),
    ],
)
def test_complete_layouts_are_fine(trees: tuple[Tree, ...], layout: str) -> None:
    (finding,) = cgroups(Hierarchy(trees), "", "crun")
    assert finding.level is Level.OK
    assert finding.text == layout


def test_no_hierarchy_fails() -> None:
    (finding,) = cgroups(Hierarchy(()), "", "crun")
    assert finding.level is Level.FAILS
    assert finding.way_out.startswith("mount -t cgroup2")


@pytest.mark.parametrize(
    ("missing", "level"), [("memory", Level.FAILS), ("devices", Level.FAILS), ("pids", Level.WARNING)]
)
def test_a_missing_controller_is_named(missing: str, level: Level) -> None:
    trees = version_1(*(name for name in V1 if name != missing))
    finding = list(cgroups(Hierarchy(trees), "", "crun"))[-1]
    assert finding.level is level
    assert missing in finding.text


HYBRID = (*version_1(*V1), version_2(root=BASE / "unified"))


@pytest.mark.parametrize(
    ("trees", "membership", "unmounted"),
    [
        (HYBRID, "9:hugetlb:/\n", "hugetlb"),
        (HYBRID, "9:hugetlb:/\n2:pids:/x\n1:name=systemd:/\n0::/\n", "hugetlb"),
        (HYBRID, "9:net_cls,net_prio:/a:b\n", "net_cls,net_prio"),
        ((version_2("cpu", "cpuset", "memory", "pids"),), "3:rdma:/\n0::/user.slice\n", "rdma"),
        (HYBRID, "2:pids:/x\n1:name=elogind:/\n0::/\n", ""),
        ((version_2("cpu", "cpuset", "memory", "pids"),), "0::/user.slice\n", ""),
    ],
)
def test_a_controller_that_is_bound_and_not_mounted_is_named(
    trees: tuple[Tree, ...], membership: str, unmounted: str
) -> None:
    _, *findings = cgroups(Hierarchy(trees), membership, "crun")
    assert [one.level for one in findings] == [Level.WARNING] * bool(unmounted)
    for finding in findings:
        assert finding.text.startswith(f"{unmounted} is bound to a version 1 hierarchy")
        assert f"mount -t cgroup -o {unmounted} cgroup /" in finding.way_out


@pytest.mark.parametrize(("runtime", "level"), [("crun", Level.FAILS), ("runc", Level.WARNING)])
def test_crun_on_a_hybrid_layout_with_version_2_controllers(runtime: str, level: Level) -> None:
    trees = (*version_1(*V1), version_2("hugetlb", root=BASE / "unified"))
    finding = list(cgroups(Hierarchy(trees), "", runtime))[-1]
    assert finding.level is level
    assert finding.way_out == (
        "mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb"
    )


@pytest.mark.parametrize(
    ("manager", "booted", "text"),
    [
        ("auto", True, "driver systemd, version 257"),
        ("auto", False, "driver cgroupfs"),
        ("cgroupfs", True, "driver cgroupfs"),
    ],
)
def test_the_driver_is_told(tmp_path: Path, manager: str, booted: bool, text: str) -> None:
    hierarchy = Hierarchy((version_2("memory"),))
    finding = driver(manager, hierarchy, lambda: "257", tmp_path if booted else tmp_path / "none")
    assert (finding.level, finding.text) == (Level.OK, text)


def test_a_driver_that_cannot_be_fails(tmp_path: Path) -> None:
    finding = driver("systemd", Hierarchy((version_2("memory"),)), silent, tmp_path / "none")
    assert finding.level is Level.FAILS
    assert "systemd does not run this machine" in finding.text
    assert finding.way_out == 'set it to "cgroupfs" or "auto"'


@pytest.mark.parametrize("manager", ["auto", "systemd"])
def test_a_systemd_that_cannot_be_asked_fails(tmp_path: Path, manager: str) -> None:
    finding = driver(manager, Hierarchy((version_2("memory"),)), silent, tmp_path)
    assert finding.level is Level.FAILS
    assert "no system bus" in finding.text
    assert finding.way_out == 'apt-get install dbus, or set cgroup_manager = "cgroupfs"'
