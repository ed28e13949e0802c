"""Port mappings as set elements."""

import ipaddress
import re

import pytest

from cni import ruleset
from cni.errors import NetworkConfigInvalid
from cni.nat import PortMapping, checked, hostport_elements, masquerade_elements
from host.netlink.nftables import Element

V4, V6 = ipaddress.ip_address("10.77.0.2"), ipaddress.ip_address("fd00::2")
LINK = b"cni0" + bytes(12)


def in_set(elements: list[Element], name: str) -> list[tuple[bytes, bytes]]:
    return [(element.key, element.data) for element in elements if element.set == name]


def test_a_mapping_leads_to_both_families() -> None:
    elements = hostport_elements("me", [PortMapping(8080, 80)], [V4, V6], ["cni0"])
    assert in_set(elements, "hostports4") == [(b"\x06\0\0\0\x1f\x90\0\0", V4.packed + b"\0\x50\0\0")]
    assert in_set(elements, "hostports6") == [(b"\x06\0\0\0\x1f\x90\0\0", V6.packed + b"\0\x50\0\0")]
    assert in_set(elements, "targets4") == [(V4.packed, b"")]
    assert in_set(elements, "target_links4") == [(V4.packed + LINK, b"")]
    assert in_set(elements, "target_links6") == [(V6.packed + LINK, b"")]
    assert in_set(elements, "loops4") == [(V4.packed * 2, b"")]
    assert {element.comment for element in elements} == {"me"}


@pytest.mark.parametrize(
    ("host_ip", "sets"),
    [
        ("", {"hostports4", "hostports6"}),
        ("0.0.0.0", {"hostports4"}),
        ("::", {"hostports6"}),
        ("127.0.0.1", {"hostports4_at"}),
        ("fd00::1", {"hostports6_at"}),
    ],
)
def test_the_host_address_chooses_the_set(host_ip: str, sets: set[str]) -> None:
    elements = hostport_elements("me", [PortMapping(1, 2, "udp", host_ip)], [V4, V6], [])
    assert {element.set for element in elements if element.set.startswith("hostports")} == sets


def test_a_host_address_is_part_of_the_key() -> None:
    elements = hostport_elements("me", [PortMapping(1, 2, "sctp", "127.0.0.1")], [V4], [])
    assert in_set(elements, "hostports4_at") == [
        (b"\x7f\0\0\1\x84\0\0\0\0\1\0\0", V4.packed + b"\0\2\0\0"),
    ]


def test_without_snat_only_the_ports_are_mapped() -> None:
    elements = hostport_elements("me", [PortMapping(1, 2)], [V4], ["cni0"], snat=False)
    assert [element.set for element in elements] == ["hostports4"]


def test_two_mappings_share_the_pods_elements() -> None:
    elements = hostport_elements("me", [PortMapping(1, 2), PortMapping(3, 4)], [V4], ["cni0"])
    assert len(in_set(elements, "hostports4")) == 2
    assert len(in_set(elements, "targets4")) == 1


def test_masquerading_spares_the_own_link() -> None:
    assert masquerade_elements("me", [V4, V6], "cni0") == [
        Element("masquerade4", V4.packed, b"", "me"),
        Element("own_links4", V4.packed + LINK, b"", "me"),
        Element("masquerade6", V6.packed, b"", "me"),
        Element("own_links6", V6.packed + LINK, b"", "me"),
    ]


def test_every_set_that_is_used_is_declared_and_cleaned() -> None:
    declared = set(re.findall(r"(?:map|set) (\w+) \{", ruleset.RULESET))
    assert declared == set(ruleset.HOSTPORT_SETS) | set(ruleset.MASQUERADE_SETS)
    used = hostport_elements(
        "me", [PortMapping(1, 2), PortMapping(1, 2, "tcp", "127.0.0.1")], [V4, V6], ["x"]
    )
    assert {element.set for element in used} <= set(ruleset.HOSTPORT_SETS)


def test_protocols_are_read_in_any_case() -> None:
    assert checked(PortMapping(1, 2, "UDP")).protocol == "udp"
    assert checked(PortMapping(1, 2, "")).protocol == "tcp"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (PortMapping(0, 80), "host port 0"),
        (PortMapping(65536, 80), "host port 65536"),
        (PortMapping(80, -1), "container port -1"),
        (PortMapping(80, 80, "icmp"), "'icmp' is none of tcp, udp, sctp"),
        (PortMapping(80, 80, "tcp", "localhost"), "'localhost' is not an IP address"),
        (PortMapping(80, 80, "tcp", "fe80::1% -j DROP"), "'fe80::1% -j DROP' has a zone"),
    ],
)
def test_wrong_mappings_are_refused(mapping: PortMapping, message: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match=message):
        checked(mapping)


def test_a_mapping_that_is_given_twice_counts_once() -> None:
    assert hostport_elements("me", [PortMapping(1, 2)] * 2, [V4], []) == hostport_elements(
        "me", [PortMapping(1, 2)], [V4], []
    )


def test_one_host_port_leads_to_one_container_port() -> None:
    with pytest.raises(NetworkConfigInvalid, match="host port 1/tcp is mapped to two container ports"):
        hostport_elements("me", [PortMapping(1, 2), PortMapping(1, 3)], [V4], [])
