import os
from pathlib import Path

from host.cgroups import Hierarchy
from host.features import Features
from oci.generate.inputs import Defaults, Device, Mount, Observed, Propagation, SecurityContext
from oci.hostview import device_nodes, gather, host_devices, mount_points, observe, read_in_root
from tests.unit.oci.generate.builders import a_container

FEATURES = Features(True, False, True, True, False, False, frozenset({"2MB"}))


def test_features_reach_the_view() -> None:
    host = gather(Hierarchy(()), FEATURES)
    assert (host.kernel_recursive_readonly, host.kernel_idmapped_mounts) == (True, False)
    assert host.hugepage_sizes == frozenset()  # no hugetlb controller, no limits
    assert host.architecture == os.uname().machine


def test_a_plain_container_needs_no_looking() -> None:
    assert observe(a_container()) == Observed()


def test_devices_and_mounts_are_looked_up_when_asked_for() -> None:
    container = a_container(
        devices=(Device("", "/dev/null"), Device("", "/dev/none")),
        defaults=Defaults(devices=(Device("", "/dev/zero"),)),
        mounts=(Mount("/m", "/", propagation=Propagation.BIDIRECTIONAL),),
        security=SecurityContext(privileged=True),
    )
    found = observe(container)
    assert found.device_nodes["/dev/none"] == ()
    assert [(n.kind, n.major, n.minor) for n in found.device_nodes["/dev/null"]] == [("c", 1, 3)]
    assert "/dev/zero" in found.device_nodes
    assert "/dev/null" in {node.path for node in found.host_devices}
    assert "/" in {point.path for point in found.mount_points}


def test_what_containers_have_of_their_own_is_not_the_hosts() -> None:
    assert not [node.path for node in host_devices() if node.path.startswith(("/dev/pts", "/dev/shm"))]


def test_a_directory_of_devices_and_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    (tmp_path / "link").symlink_to("/dev/null")
    assert device_nodes(tmp_path) == ()
    assert device_nodes(tmp_path / "plain") == ()
    assert device_nodes(tmp_path / "link")[0].minor == 3


def test_our_mount_table_has_a_root() -> None:
    assert any(point.path == "/" for point in mount_points())


def test_files_of_an_image_cannot_lead_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("host")
    (root / "secret").write_text("inside")
    (root / "etc/passwd").symlink_to("../../../secret")
    (root / "etc/group").symlink_to("/secret")
    assert read_in_root(root, "etc/passwd") == b"inside"
    assert read_in_root(root, "etc/group") == b"inside"
    assert read_in_root(root, "etc/group", 3) == b"insi"  # that there is more must show


def test_what_is_no_regular_file_reads_as_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("fifo", "directory", "none"):
        assert read_in_root(tmp_path, name) == b""
    assert read_in_root(tmp_path / "none", "x") == b""
