"""linux.sysctl."""

import pytest

from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.plan.namespaces import read
from oci.run.plan.sysctls import file_of, sysctls
from oci.run.process_operations import WriteSysctl
from tests.unit.oci.run.plan.made import linux


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.arp_filter", "net/ipv4/conf/eth0.1/arp_filter"),
        ("net/ipv4/conf/eth0.1/arp_filter", "net/ipv4/conf/eth0.1/arp_filter"),
    ],
)
def test_the_first_separator_decides(name: str, file: str) -> None:
    assert file_of(name) == file


@pytest.mark.parametrize("name", ["net/../kernel/x", "net..x", "/net/x", "net/x/", "", "net/\0"])
def test_other_names_are_no_files(name: str) -> None:
    with pytest.raises(BadConfig):
        file_of(name)


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("kernel.shmmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("net.core.somaxconn", "network"),
        ("kernel.domainname", "uts"),
    ],
)
def test_each_belongs_to_a_namespace(name: str, namespace: str) -> None:
    table = Table(linux("mount", namespace, sysctl={name: "1"}))
    assert sysctls(table, read(table)) == [WriteSysctl(name, name.replace(".", "/"), "1")]
    table = Table(linux("mount", sysctl={name: "1"}))
    with pytest.raises(BadConfig, match="hosts'"):
        sysctls(table, read(table))


@pytest.mark.parametrize(
    "name", ["kernel.hostname", "vm.swappiness", "kernel.shm", "kernel.core_pattern", "network.x"]
)
def test_what_is_the_machines_is_refused(name: str) -> None:
    table = Table(linux("mount", "ipc", "network", "uts", sysctl={name: "1"}))
    with pytest.raises(BadConfig):
        sysctls(table, read(table))
