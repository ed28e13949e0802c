from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oci.generate.inputs import (
    BadContainer,
    ContainerInput,
    Defaults,
    IdMapping,
    Mount,
    MountPoint,
    NamespaceMode,
    NamespaceOptions,
    Propagation,
    RuntimeView,
    SecurityContext,
)
from oci.generate.mounts import mount_point_of, mounts, root_propagation
from tests.unit.oci.generate.builders import SANDBOX, V1, a_container

BOTH, SLAVE = Propagation.BIDIRECTIONAL, Propagation.HOST_TO_CONTAINER
POINTS = (
    MountPoint("/"),
    MountPoint("/shared", shared=True),
    MountPoint("/slave", slave=True),
    MountPoint("/shared/private"),
)
MAP = (IdMapping(0, 1000, 10),)


def made(container: ContainerInput) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in mounts(container, V1, RuntimeView(), POINTS)}


def options(mount: Mount) -> list[str]:
    found: list[str] = made(a_container(mounts=(mount,)))[mount.container_path]["options"]
    return found


def test_every_container_gets_the_usual_file_systems() -> None:
    found = made(a_container())
    kinds = {target: mount["type"] for target, mount in found.items()}
    assert kinds == {
        "/proc": "proc",
        "/dev": "tmpfs",
        "/dev/pts": "devpts",
        "/dev/mqueue": "mqueue",
        "/sys": "sysfs",
        "/sys/fs/cgroup": "cgroup",
        "/dev/shm": "bind",
        "/etc/resolv.conf": "bind",
        "/etc/hostname": "bind",
    }
    assert "ro" in found["/sys"]["options"]
    assert "ro" in found["/sys/fs/cgroup"]["options"]
    assert found["/dev/shm"]["source"] == "/run/shm"


def test_privileged_may_write_sysfs_and_cgroups() -> None:
    found = made(a_container(security=SecurityContext(privileged=True)))
    assert "rw" in found["/sys"]["options"]
    assert "rw" in found["/sys/fs/cgroup"]["options"]


def test_shm_of_host_pod_or_own() -> None:
    host = SecurityContext(namespaces=NamespaceOptions(ipc=NamespaceMode.NODE))
    assert made(a_container(security=host))["/dev/shm"]["source"] == "/dev/shm"
    assert made(a_container(sandbox=replace(SANDBOX, shm_path=None)))["/dev/shm"]["type"] == "tmpfs"


def test_shallow_before_deep() -> None:
    requested = tuple(Mount(path, "/h") for path in ("/a/b/c", "/a", "/sys/fs/cgroup/x", "/a/b"))
    found = list(made(a_container(mounts=requested)))
    depths = [target.count("/") for target in found]
    assert depths == sorted(depths)


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (Mount("/m", "/h"), ["rbind", "rprivate", "rw"]),
        (Mount("/m", "/h", readonly=True), ["rbind", "rprivate", "ro"]),
        (Mount("/m", "/h", readonly=True, recursive_read_only=True), ["rbind", "rprivate", "ro", "rro"]),
        (Mount("/m", "/shared/x", propagation=BOTH), ["rbind", "rshared", "rw"]),
        (Mount("/m", "/shared/x", propagation=SLAVE), ["rbind", "rslave", "rw"]),
        (Mount("/m", "/slave", propagation=SLAVE), ["rbind", "rslave", "rw"]),
        (
            Mount("/m", "/h", mount_options=("noexec", "nodev", "noexec")),
            ["rbind", "rprivate", "rw", "noexec", "nodev"],
        ),
    ],
)
def test_each_kind_of_request(mount: Mount, expected: list[str]) -> None:
    assert options(mount) == expected


@pytest.mark.parametrize(
    ("mount", "named"),
    [
        (Mount("", "/h"), "container_path"),
        (Mount("/", "/h"), "root"),
        (Mount("/a/..", "/h"), "root"),
        (Mount("/m", ""), "host_path"),
        (Mount("/m", "h"), "host_path 'h'"),
        (Mount("/m", "/h", propagation=BOTH), "BIDIRECTIONAL"),
        (Mount("/m", "/slave", propagation=BOTH), "BIDIRECTIONAL"),
        (Mount("/m", "/shared/private/x", propagation=SLAVE), "HOST_TO_CONTAINER"),
        (Mount("/m", "/h", recursive_read_only=True), "recursive_read_only"),
        (Mount("/m", "/shared", readonly=True, recursive_read_only=True, propagation=SLAVE), "HOST_TO"),
        (Mount("/m", "/shared", readonly=True, recursive_read_only=True, propagation=BOTH), "BIDIRECTIONAL"),
        (Mount("/m", "/h", source_is_image=True), "image"),
        (Mount("/m", "/h", mount_options=("exec", "nodev")), "exec"),
        (Mount("/m", "/h", uid_mappings=MAP), "gidMappings"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(mount: Mount, named: str) -> None:
    with pytest.raises(BadContainer, match=named):
        made(a_container(mounts=(mount,)))


@pytest.mark.parametrize(
    "mount",
    [
        Mount("/m", "/h", readonly=True, recursive_read_only=True),
        Mount("/m", "/h", uid_mappings=MAP, gid_mappings=MAP),
    ],
)
def test_what_runtime_or_kernel_lack_is_refused(mount: Mount) -> None:
    poor = RuntimeView(recursive_readonly=False, idmapped_mounts=False)
    old = replace(V1, kernel_recursive_readonly=False, kernel_idmapped_mounts=False)
    for host, runtime, lacking in ((V1, poor, "runtime handler"), (old, RuntimeView(), "kernel")):
        with pytest.raises(BadContainer, match=lacking):
            mounts(a_container(mounts=(mount,)), host, runtime, ())


def test_id_mapped_mounts() -> None:
    found = made(a_container(mounts=(Mount("/m", "/h", uid_mappings=MAP, gid_mappings=MAP),)))["/m"]
    assert found["uidMappings"] == found["gidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 10}]


def test_a_request_replaces_ours() -> None:
    requested = (
        Mount("/etc/hostname", "/h"),
        Mount("/dev/shm/", "/s"),
        Mount("/sys", "/sys"),
        Mount("/dev", "/dev"),
    )
    found = made(a_container(mounts=requested))
    assert found["/etc/hostname"]["source"] == "/h"
    assert found["/dev/shm"]["source"] == "/s"
    assert found["/dev"]["type"] == found["/sys"]["type"] == "bind"
    assert {"/sys/fs/cgroup", "/dev/pts"}.isdisjoint(found)
    assert "/dev/mqueue" in found


def test_image_volumes_give_way_to_requests() -> None:
    container = a_container(
        volumes=(Mount("/v", "/anon"), Mount("/w", "/anon2")), mounts=(Mount("/v", "/h"),)
    )
    found = made(container)
    assert (found["/v"]["source"], found["/w"]["source"]) == ("/h", "/anon2")


def test_pod_files_are_read_only_with_the_root() -> None:
    files = a_container(passwd_file=Path("/run/passwd"), defaults=Defaults(timezone_file="/tz"))
    assert {"/etc/passwd", "/etc/localtime"} <= made(files).keys()
    locked = replace(files, security=SecurityContext(readonly_rootfs=True))
    assert "ro" in made(locked)["/etc/resolv.conf"]["options"]
    assert "rw" in made(files)["/etc/resolv.conf"]["options"]


def test_the_nodes_own_time_zone_is_never_writable() -> None:
    found = made(a_container(defaults=Defaults(timezone_file="/tz")))
    assert found["/etc/localtime"]["options"][-1] == "ro"


def test_read_only_configuration_leaves_room_to_write() -> None:
    found = made(a_container(defaults=Defaults(read_only=True), mounts=(Mount("/tmp", "/h"),)))
    assert (found["/run"]["type"], found["/tmp"]["type"], found["/var/tmp"]["type"]) == (
        "tmpfs",
        "bind",
        "tmpfs",
    )


def test_sysfs_and_mqueue_are_bound_where_a_user_namespace_meets_the_hosts() -> None:
    sandbox = replace(SANDBOX, uid_mappings=MAP)
    host = SecurityContext(namespaces=NamespaceOptions(network=NamespaceMode.NODE))
    assert made(a_container(sandbox=sandbox, security=host))["/sys"]["type"] == "bind"
    host_ipc = SecurityContext(namespaces=NamespaceOptions(ipc=NamespaceMode.NODE))
    assert made(a_container(sandbox=sandbox, security=host_ipc))["/dev/mqueue"]["type"] == "bind"
    assert made(a_container(security=host_ipc))["/dev/mqueue"]["type"] == "mqueue"
    assert made(a_container(sandbox=sandbox))["/sys"]["type"] == "sysfs"


def test_root_propagation_is_the_widest_request() -> None:
    assert root_propagation([Mount("/a", "/a"), Mount("/b", "/b", propagation=SLAVE)]) == "rslave"
    assert (
        root_propagation([Mount("/a", "/a", propagation=SLAVE), Mount("/b", "/b", propagation=BOTH)])
        == "rshared"
    )
    assert root_propagation([Mount("/a", "/a")]) is None


def test_the_innermost_mount_counts() -> None:
    found = [mount_point_of(path, POINTS) for path in ("/shared", "/sharedx", "/shared/private/deep")]
    assert [point.path if point else None for point in found] == ["/shared", "/", "/shared/private"]
    assert mount_point_of("/x", ()) is None


def test_a_thousand_mounts() -> None:
    container = a_container(mounts=tuple(Mount(f"/m/{i}", "/h") for i in range(1000)))
    assert len(made(container)) == 1009


def test_what_the_caller_prepared_is_bound_plainly() -> None:
    unable = RuntimeView(recursive_readonly=False, idmapped_mounts=False)
    asked = Mount("/m", "/h", readonly=True, recursive_read_only=True, uid_mappings=MAP, gid_mappings=MAP)

    def bound(mount: Mount, runtime: RuntimeView) -> dict[str, Any]:
        found = mounts(a_container(mounts=(mount,)), V1, runtime, POINTS)
        return next(mount for mount in found if mount["destination"] == "/m")

    made = bound(replace(asked, prepared_path="/run/copy"), unable)
    assert made["source"] == "/run/copy"
    assert "ro" in made["options"]
    assert "rro" not in made["options"]
    assert "uidMappings" not in made
    with pytest.raises(BadContainer, match="recursive_read_only: this runtime handler cannot"):
        bound(asked, unable)
    with pytest.raises(BadContainer, match="needs private propagation"):
        bound(replace(asked, prepared_path="/run/copy", propagation=BOTH), unable)
    assert "uidMappings" not in bound(replace(asked, recursive_read_only=False, source_is_image=True), unable)
