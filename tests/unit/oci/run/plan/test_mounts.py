"""mounts of config.json as operations."""

from typing import Any

import pytest

from oci.run.errors import BadConfig
from oci.run.operations import (
    Attributes,
    BindMount,
    CgroupMount,
    IdMap,
    MaskPath,
    NewMount,
    ReadonlyPath,
    Remount,
)
from oci.run.plan import mounts
from oci.run.plan.namespaces import read
from tests.unit.oci.run.plan.made import linux, spec

MAPS = [{"containerID": 0, "hostID": 1000, "size": 10}]


def planned(*entries: dict[str, Any], **more: object) -> list[mounts.Mounting]:
    given = spec(mounts=list(entries), linux=linux("mount", **more))
    return mounts.mounts(given, read(given.table("linux")), "/bundle")


def test_sources_of_binds_are_the_bundles_unless_absolute() -> None:
    relative = {"destination": "a//b/", "type": "bind", "source": "x", "options": ["bind", "ro"]}
    absolute = {"destination": "/c", "source": "/y", "options": ["rbind"]}
    assert planned(relative, absolute) == [
        BindMount("/bundle/x", "/a/b", recursive=False, attributes=Attributes(wanted=1)),
        BindMount("/y", "/c"),
    ]


def test_a_tmpfs_becomes_readonly_when_all_is_made_in_it() -> None:
    tmpfs = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=1m"]}
    proc = {"destination": "/proc", "type": "proc", "options": ["ro"]}
    assert planned(tmpfs, proc) == [
        NewMount("tmpfs", "tmpfs", "/dev", ("size=1m",)),
        NewMount("proc", "proc", "/proc", (), Attributes(wanted=1)),
        Remount("/dev", Attributes(wanted=1)),
    ]


def test_other_file_systems_are_readonly_themselves() -> None:
    (mount,) = planned({"destination": "/x", "type": "ext4", "source": "/dev/x", "options": ["ro", "sync"]})
    assert mount == NewMount("ext4", "/dev/x", "/x", ("sync", "ro"), Attributes(wanted=1))


def test_a_label_is_the_context_of_new_file_systems() -> None:
    made = planned(
        {"destination": "/x", "type": "tmpfs"}, {"destination": "/proc", "type": "proc"}, mountLabel="l"
    )
    assert [one.options for one in made if isinstance(one, NewMount)] == [("context=l",), ()]


def test_cgroups_are_mounted_as_the_host_has_them() -> None:
    (mount,) = planned({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]})
    assert mount == CgroupMount("/sys/fs/cgroup", Attributes(wanted=1), own_namespace=False)


def test_maps_of_a_mount() -> None:
    entry = {
        "destination": "/x",
        "source": "/y",
        "options": ["bind"],
        "uidMappings": MAPS,
        "gidMappings": MAPS,
    }
    (mount,) = planned(entry)
    assert isinstance(mount, BindMount)
    assert mount.idmap == IdMap(((0, 1000, 10),), ((0, 1000, 10),), recursive=False)
    (mount,) = planned({**entry, "options": ["bind", "ridmap"]})
    assert isinstance(mount, BindMount)
    assert mount.idmap is not None
    assert mount.idmap.recursive


@pytest.mark.parametrize(
    "entry",
    [
        {"destination": "/proc", "type": "tmpfs"},
        {"destination": "/proc/sys", "type": "tmpfs"},
        {"destination": "/proc/../proc/1", "type": "tmpfs"},
        {"destination": "/proc/1/exe", "source": "/x", "options": ["bind"]},
        {"destination": "", "type": "tmpfs"},
        {"destination": "/a\0b", "type": "tmpfs"},
        {"destination": "/x", "options": ["bind"]},
        {"destination": "/x"},
        {"destination": "/x", "type": "tmpfs", "options": ["idmap"]},
        {"destination": "/x", "source": "/y", "options": ["bind", "idmap"]},
        {"destination": "/x", "source": "/y", "options": ["bind"], "uidMappings": MAPS},
    ],
)
def test_a_mount_that_cannot_be_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(BadConfig):
        planned(entry)


def test_options_of_a_file_system_mean_nothing_to_a_bind() -> None:
    assert planned({"destination": "/x", "source": "/y", "options": ["bind", "size=1"]}) == [
        BindMount("/y", "/x", recursive=False)
    ]


def test_what_lxcfs_replaces_may_lie_in_proc() -> None:
    assert planned({"destination": "/proc/cpuinfo", "source": "/x", "options": ["bind"]}) == [
        BindMount("/x", "/proc/cpuinfo", recursive=False)
    ]


def test_each_path_is_masked_once() -> None:
    table = spec(linux=linux("mount", maskedPaths=["/a", "/a"], readonlyPaths=["/b"])).table("linux")
    assert mounts.masks(table, read(table)) == [ReadonlyPath("/b"), MaskPath("/a", "")]


@pytest.mark.parametrize(
    "given", [linux("pid", maskedPaths=["/a"]), linux("mount", readonlyPaths=["relative"])]
)
def test_paths_to_mask_need_a_place(given: dict[str, object]) -> None:
    table = spec(linux=given).table("linux")
    with pytest.raises(BadConfig):
        mounts.masks(table, read(table))
