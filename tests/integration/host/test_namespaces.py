"""Real namespaces: pinned, joined, and gone without a trace."""

import os
import socket
from pathlib import Path

import pytest

from host.namespaces import Kind, SysctlRefused, identity, in_namespace, is_pinned, pin, unpin

pytestmark = pytest.mark.root

ALL = (Kind.NET, Kind.IPC, Kind.UTS)


def read(path: str) -> str:
    return Path(path).read_text().strip()


def test_pinned_namespaces_are_new_and_can_be_joined(tmp_path: Path) -> None:
    pinned = pin(ALL, tmp_path, hostname="pod-one")
    try:
        assert {path.name for path in pinned.values()} == {"net", "ipc", "uts"}
        assert all(is_pinned(path) for path in pinned.values())
        assert all(identity(path) != identity(f"/proc/self/ns/{kind}") for kind, path in pinned.items())
        assert in_namespace(pinned[Kind.UTS], socket.gethostname) == "pod-one"
        assert socket.gethostname() != "pod-one"
        names = in_namespace(pinned[Kind.NET], lambda: [name for _, name in socket.if_nameindex()])
        assert "lo" in names
        assert "eth0" not in names
    finally:
        for path in pinned.values():
            unpin(path)
    assert list(tmp_path.iterdir()) == []


def test_sysctls_are_set_inside_only(tmp_path: Path) -> None:
    before = read("/proc/sys/fs/mqueue/msg_max"), read("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    pinned = pin(
        ALL,
        tmp_path,
        sysctls={
            "fs.mqueue.msg_max": "77",
            "kernel.shm_rmid_forced": "1",
            "kernel.sem": "32000 1024000000 500 32001",
            "net.ipv4.ip_unprivileged_port_start": "0",
        },
    )
    try:
        assert in_namespace(pinned[Kind.IPC], lambda: read("/proc/sys/fs/mqueue/msg_max")) == "77"
        assert in_namespace(pinned[Kind.IPC], lambda: read("/proc/sys/kernel/shm_rmid_forced")) == "1"
        assert in_namespace(pinned[Kind.IPC], lambda: read("/proc/sys/kernel/sem")).split()[-1] == "32001"
        port = in_namespace(pinned[Kind.NET], lambda: read("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
        assert port == "0"
        assert before == (
            read("/proc/sys/fs/mqueue/msg_max"),
            read("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
        )
    finally:
        for path in pinned.values():
            unpin(path)


def test_a_refused_value_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SysctlRefused, match=r"net\.ipv4\.ip_unprivileged_port_start = 'many'"):
        pin(ALL, tmp_path, sysctls={"net.ipv4.ip_unprivileged_port_start": "many"})
    with pytest.raises(SysctlRefused, match="does not exist"):
        pin(ALL, tmp_path, sysctls={"net.ipv4.no_such_thing": "1"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_leaves_no_mount(tmp_path: Path) -> None:
    (tmp_path / "uts").touch()
    with pytest.raises(FileExistsError):
        pin((Kind.NET, Kind.UTS), tmp_path)
    assert not is_pinned(tmp_path / "net")


def test_unpin_twice_is_fine(tmp_path: Path) -> None:
    pinned = pin((Kind.NET,), tmp_path)
    unpin(pinned[Kind.NET])
    unpin(pinned[Kind.NET])
    assert list(tmp_path.iterdir()) == []


def test_a_socket_opened_inside_is_used_from_outside(tmp_path: Path) -> None:
    pinned = pin((Kind.NET,), tmp_path)
    try:
        inside = in_namespace(pinned[Kind.NET], lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with inside, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as outside:
            # Abstract unix names belong to the network namespace of the socket.
            inside.bind(f"\0podwright-test-{os.getpid()}")
            inside.listen()
            with pytest.raises(ConnectionRefusedError):
                outside.connect(f"\0podwright-test-{os.getpid()}")
    finally:
        unpin(pinned[Kind.NET])
