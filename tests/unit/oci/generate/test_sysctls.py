import pytest

from oci.generate.inputs import BadContainer, NamespaceMode, NamespaceOptions
from oci.generate.sysctls import applicable, check_sysctls

POD = NamespaceOptions()
HOST_NET = NamespaceOptions(network=NamespaceMode.NODE)
HOST_IPC = NamespaceOptions(ipc=NamespaceMode.NODE)


@pytest.mark.parametrize(
    "name",
    ["kernel.shm_rmid_forced", "fs.mqueue.msg_max", "kernel.sem", "kernel/msgmax", "net.ipv4.ip_forward"],
)
def test_namespaced_ones_pass(name: str) -> None:
    check_sysctls({name: "1"}, POD)


@pytest.mark.parametrize(
    "name", ["kernel.panic", "vm.swappiness", "fs.file-max", "net", "kernel.semx", "../net.x"]
)
def test_the_nodes_are_refused_by_name(name: str) -> None:
    with pytest.raises(BadContainer, match=name):
        check_sysctls({name: "1"}, POD)


@pytest.mark.parametrize(
    ("name", "options"),
    [("net.core.somaxconn", HOST_NET), ("kernel.shmmax", HOST_IPC), ("kernel.sem", HOST_IPC)],
)
def test_none_in_a_namespace_of_the_host(name: str, options: NamespaceOptions) -> None:
    with pytest.raises(BadContainer, match="host's"):
        check_sysctls({name: "1"}, options)


def test_defaults_that_do_not_fit_are_passed_over() -> None:
    defaults = {"net.ipv4.ping_group_range": "0 0", "kernel.shmmax": "1"}
    assert applicable(defaults, HOST_NET) == {"kernel.shmmax": "1"}
