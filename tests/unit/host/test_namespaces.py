"""Names of sysctls and what can be said of namespaces without root."""

import threading
from pathlib import Path

import pytest

from host.namespaces import Kind, SysctlRefused, identity, in_new_thread, is_pinned, sysctl_path

ALL = (Kind.NET, Kind.IPC, Kind.UTS)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_local_port_range", "net/ipv4/ip_local_port_range"),
        ("net/ipv4/conf/eth0.100/arp_filter", "net/ipv4/conf/eth0.100/arp_filter"),
        ("net.ipv4.conf.eth0/100.arp_filter", "net/ipv4/conf/eth0.100/arp_filter"),
        ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced"),
        ("kernel.msgmax", "kernel/msgmax"),
        ("kernel.sem", "kernel/sem"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ("kernel.domainname", "kernel/domainname"),
    ],
)
def test_namespaced_sysctls_have_a_file(name: str, path: str) -> None:
    assert sysctl_path(name, ALL) == Path("/proc/sys") / path


@pytest.mark.parametrize(
    "name",
    [
        "kernel.panic",
        "vm.swappiness",
        "net",
        "",
        "net..ipv4",
        "net/../kernel/panic",
        "net./..x",
        "kernel.semx",
        "net.a\0b",
    ],
)
def test_other_sysctls_are_refused(name: str) -> None:
    with pytest.raises(SysctlRefused):
        sysctl_path(name, ALL)


def test_a_sysctl_of_a_shared_namespace_is_refused_by_the_namespace() -> None:
    with pytest.raises(SysctlRefused, match="ipc namespace"):
        sysctl_path("kernel.sem", (Kind.NET,))


def test_a_thread_is_thrown_away_and_its_result_kept() -> None:
    assert in_new_thread(threading.get_ident) != threading.get_ident()


def test_an_exception_crosses_the_thread() -> None:
    def fail() -> None:
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        in_new_thread(fail)


def test_own_namespace_has_one_identity() -> None:
    assert identity("/proc/self/ns/net") == identity("/proc/thread-self/ns/net")


def test_an_ordinary_file_is_not_pinned(tmp_path: Path) -> None:
    (tmp_path / "net").touch()
    assert not is_pinned(tmp_path / "net")
    assert not is_pinned(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == [tmp_path / "net"]
