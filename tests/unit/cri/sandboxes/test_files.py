"""The texts of a sandbox's files."""

import socket

import pytest

from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.sandboxes.files import hostname_of, resolv_conf

ID = SandboxId("0123456789abcdef" * 4)


def test_resolv_conf_has_what_was_asked_for_in_the_order_of_the_man_page() -> None:
    dns = pb.DNSConfig(servers=["10.0.0.1", "10.0.0.2"], searches=["a.b", "c"], options=["ndots:5", "edns0"])
    assert (
        resolv_conf(dns) == "search a.b c\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5 edns0\n"
    )


def test_an_empty_configuration_leaves_it_to_the_node() -> None:
    assert resolv_conf(pb.DNSConfig()) is None


def _config(hostname: str, network: pb.NamespaceMode.ValueType) -> pb.PodSandboxConfig:
    options = pb.NamespaceOption(network=network)
    context = pb.LinuxSandboxSecurityContext(namespace_options=options)
    return pb.PodSandboxConfig(hostname=hostname, linux=pb.LinuxPodSandboxConfig(security_context=context))


@pytest.mark.parametrize(
    ("hostname", "network", "expected"),
    [
        ("web", pb.POD, "web"),
        ("web", pb.NODE, "web"),
        ("", pb.POD, "0123456789ab"),
        ("", pb.NODE, socket.gethostname()),
    ],
)
def test_hostname(hostname: str, network: pb.NamespaceMode.ValueType, expected: str) -> None:
    assert hostname_of(ID, _config(hostname, network)) == expected
