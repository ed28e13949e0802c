import json
from pathlib import Path
from typing import Any

import pytest

from host.cgroups import Hierarchy, Tree
from oci.run.cgroups.choose import cgroup_for, cgroup_from, owner_of, unit_of
from oci.run.cgroups.types import BadResources


@pytest.fixture
def mounted(tmp_path: Path) -> Hierarchy:
    for name in ("memory", "freezer", "unified"):
        (tmp_path / name).mkdir()
    return Hierarchy(
        (
            Tree(tmp_path / "memory", frozenset({"memory"})),
            Tree(tmp_path / "freezer", frozenset({"freezer"})),
            Tree(tmp_path / "unified", frozenset({"hugetlb"}), v2=True),
        )
    )


def config(path: str | None) -> dict[str, Any]:
    return {"linux": {} if path is None else {"cgroupsPath": path}}


def test_an_absolute_path_is_below_every_hierarchy(mounted: Hierarchy, tmp_path: Path) -> None:
    cgroup = cgroup_for(config("/a//b/./c"), "id", False, hierarchy=mounted)
    assert cgroup.join_paths() == [
        tmp_path / "memory/a/b/c/tasks",
        tmp_path / "freezer/a/b/c/tasks",
        tmp_path / "unified/a/b/c/cgroup.procs",
    ]


@pytest.mark.parametrize(("path", "end"), [("x/y", "x/y"), (None, "the-id"), ("", "the-id")])
def test_another_path_is_below_our_own(mounted: Hierarchy, path: str | None, end: str) -> None:
    for file in cgroup_for(config(path), "the-id", False, hierarchy=mounted).join_paths():
        assert str(file.parent).endswith(f"/{end}")


@pytest.mark.parametrize("path", ["/", "//", "/.", "/a/../b", "..", "a/..", "/a\0b", 7])
def test_what_is_no_path(mounted: Hierarchy, path: Any) -> None:
    with pytest.raises(BadResources, match="cgroupsPath"):
        cgroup_for(config(path), "id", False, hierarchy=mounted)


def test_a_cgroup_is_found_again_by_its_facts(mounted: Hierarchy) -> None:
    cgroup = cgroup_for(config("/a"), "id", False, hierarchy=mounted)
    again = cgroup_from(json.loads(json.dumps(cgroup.facts())))
    assert again.join_paths() == cgroup.join_paths()
    assert again.facts() == cgroup.facts()


def test_a_scope_is_found_again_by_its_facts() -> None:
    place = {"root": "/sys/fs/cgroup", "controllers": ["memory"], "v2": True, "path": "system.slice/x.scope"}
    facts = {
        "driver": "systemd",
        "unit": "x.scope",
        "slice": "system.slice",
        "user": False,
        "places": [place],
    }
    again = cgroup_from(facts)
    assert again.facts() == facts
    assert again.join_paths() == [Path("/sys/fs/cgroup/system.slice/x.scope/cgroup.procs")]


@pytest.mark.parametrize(
    ("path", "slice_", "unit"),
    [
        ("", "system.slice", "podwright-id.scope"),
        ("kubepods-pod1.slice:podwright:abc", "kubepods-pod1.slice", "podwright-abc.scope"),
        (":cri:abc", "system.slice", "cri-abc.scope"),
        ("a.slice::abc", "a.slice", "abc.scope"),
        ("-.slice:x:abc", "-.slice", "x-abc.scope"),
        ("a.slice:x:a-b.slice", "a.slice", "a-b.slice"),
    ],
)
def test_units_of_systemds_driver(path: str, slice_: str, unit: str) -> None:
    assert unit_of(path, "id", "system.slice") == (slice_, unit)


@pytest.mark.parametrize(
    "path",
    [
        "/a/b",
        "a:b",
        "a:b:c:d",
        "a.slice:x:",
        "a.slice:x:b/c",
        "nothing:x:c",
        "a--b.slice:x:c",
        "a.slice:x:" + "c" * 300,
    ],
)
def test_what_names_no_unit(path: str) -> None:
    with pytest.raises(BadResources, match="cgroupsPath"):
        unit_of(path, "id", "system.slice")


OWN = {"namespaces": [{"type": "cgroup"}]}
MOUNTS = [{"destination": "/sys/fs/cgroup", "options": ["rw", "nosuid"]}]
MAPS = [{"containerID": 0, "hostID": 100000, "size": 1000}]


@pytest.mark.parametrize(
    ("linux", "mounts", "uid", "owner"),
    [
        (OWN, MOUNTS, 5, 5),
        (OWN | {"uidMappings": MAPS}, MOUNTS, 5, 100005),
        (OWN | {"uidMappings": MAPS}, MOUNTS, 5000, None),
        (OWN, [{"destination": "/sys/fs/cgroup", "options": ["ro"]}], 5, None),
        (OWN, [], 5, None),
        ({"namespaces": [{"type": "cgroup", "path": "/proc/1/ns/cgroup"}]}, MOUNTS, 5, None),
        ({}, MOUNTS, 5, None),
    ],
)
def test_whose_a_cgroup_becomes(
    linux: dict[str, Any], mounts: list[Any], uid: int, owner: int | None
) -> None:
    spec = {"linux": linux, "mounts": mounts, "process": {"user": {"uid": uid}}}
    assert owner_of(spec) == owner
