"""rtnetlink messages held against pyroute2's encoder and decoder."""

import ipaddress
import socket
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from host.netlink import route
from host.netlink.message import Message, Reply
from host.netlink.route import Peer, Route


def decode(kind: type[Any], message: Message) -> Any:
    """Our message as pyroute2 reads it."""
    decoded = kind(message.encode(7))
    decoded.decode()
    assert decoded["header"]["sequence_number"] == 7
    assert decoded["header"]["type"] == message.type
    return decoded


def encode(kind: type[Any], **fields: Any) -> bytes:
    """The payload that pyroute2 makes, without the header."""
    message = kind()
    for key, value in fields.items():
        message[key] = value
    message.encode()
    return bytes(message.data)[16:]


def test_a_veth_pair_is_what_pyroute2_reads() -> None:
    mac = route.mac_bytes("0a:58:0a:4d:00:02")
    decoded = decode(ifinfmsg, route.new_veth("veth0", Peer("eth0", 9, mac), 5, 1400))
    assert decoded["flags"] == decoded["change"] == 1
    assert decoded.get_attr("IFLA_IFNAME") == "veth0"
    assert decoded.get_attr("IFLA_MASTER") == 5
    assert decoded.get_attr("IFLA_MTU") == 1400
    info = decoded.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer["flags"] == 0
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_NET_NS_FD") == 9
    assert peer.get_attr("IFLA_MTU") == 1400
    assert peer.get_attr("IFLA_ADDRESS") == "0a:58:0a:4d:00:02"


def test_a_bridge_is_what_pyroute2_reads() -> None:
    decoded = decode(ifinfmsg, route.new_bridge("cni0", b"\x02\0\0\0\0\1", 1450))
    assert decoded.get_attr("IFLA_IFNAME") == "cni0"
    assert decoded.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:01"
    assert decoded.get_attr("IFLA_MTU") == 1450
    assert decoded.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"


def test_hairpin_mode_goes_to_the_bridge_family() -> None:
    message = route.set_hairpin(12, "veth0")
    assert message.type == 19  # RTM_SETLINK: NEWLINK would be ignored
    decoded = decode(ifinfmsg, message)
    assert decoded["family"] == socket.AF_BRIDGE
    assert decoded["index"] == 12
    assert decoded.get_attr("IFLA_PROTINFO").get_attr("IFLA_BRPORT_MODE") == 1


@pytest.mark.parametrize(
    ("message", "flags"),
    [(route.set_up(3, "eth0"), route.IFF_UP), (route.set_promiscuous(3, "eth0"), route.IFF_PROMISC)],
)
def test_flags_change_only_themselves(message: Message, flags: int) -> None:
    decoded = decode(ifinfmsg, message)
    assert (decoded["index"], decoded["flags"], decoded["change"]) == (3, flags, flags)


@pytest.mark.parametrize("message", [route.delete_link("veth0"), route.get_link("veth0")])
def test_a_link_is_named(message: Message) -> None:
    assert decode(ifinfmsg, message).get_attr("IFLA_IFNAME") == "veth0"


def test_an_ipv4_address_has_its_broadcast_address() -> None:
    ours = route.new_address(4, ipaddress.ip_interface("10.77.0.2/24"), "eth0")
    theirs = encode(
        ifaddrmsg,
        family=socket.AF_INET,
        prefixlen=24,
        index=4,
        attrs=[("IFA_LOCAL", "10.77.0.2"), ("IFA_ADDRESS", "10.77.0.2"), ("IFA_BROADCAST", "10.77.0.255")],
    )
    assert ours.payload == theirs


def test_an_ipv6_address_skips_duplicate_detection() -> None:
    ours = route.new_address(4, ipaddress.ip_interface("fd00:77::2/64"), "eth0")
    decoded = decode(ifaddrmsg, ours)
    assert decoded["prefixlen"] == 64
    assert decoded.get_attr("IFA_ADDRESS") == "fd00:77::2"
    assert decoded.get_attr("IFA_FLAGS") == 2


def test_a_point_to_point_address_has_no_broadcast_address() -> None:
    decoded = decode(ifaddrmsg, route.new_address(4, ipaddress.ip_interface("10.0.0.1/31"), "eth0"))
    assert decoded.get_attr("IFA_BROADCAST") is None


def test_a_default_route_is_what_pyroute2_makes() -> None:
    ours = route.new_route(
        2, Route(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_address("10.77.0.1")), "eth0"
    )
    theirs = encode(
        rtmsg,
        family=socket.AF_INET,
        dst_len=0,
        table=254,
        proto=3,
        scope=0,
        type=1,
        attrs=[("RTA_GATEWAY", "10.77.0.1"), ("RTA_OIF", 2)],
    )
    assert ours.payload == theirs


def test_a_route_carries_metrics_and_priority() -> None:
    one = Route(
        ipaddress.ip_network("192.0.2.0/24"),
        ipaddress.ip_address("10.77.0.1"),
        priority=50,
        mtu=1300,
        advmss=1200,
        table=1000,
    )
    decoded = decode(rtmsg, route.new_route(2, one, "eth0"))
    assert decoded["dst_len"] == 24
    assert decoded["table"] == 0
    assert decoded.get_attr("RTA_DST") == "192.0.2.0"
    assert decoded.get_attr("RTA_PRIORITY") == 50
    assert decoded.get_attr("RTA_TABLE") == 1000
    assert decoded.get_attr("RTA_METRICS").get_attr("RTAX_MTU") == 1300
    assert decoded.get_attr("RTA_METRICS").get_attr("RTAX_ADVMSS") == 1200


@pytest.mark.parametrize(("text", "scope"), [("192.0.2.0/24", 253), ("2001:db8::/32", 0)])
def test_a_route_without_gateway_is_on_the_link(text: str, scope: int) -> None:
    decoded = decode(rtmsg, route.new_route(2, Route(ipaddress.ip_network(text)), "eth0"))
    assert decoded["scope"] == scope
    assert decoded.get_attr("RTA_GATEWAY") is None


def test_a_link_that_pyroute2_wrote_is_read() -> None:
    payload = encode(
        ifinfmsg,
        index=7,
        flags=0x1003,
        attrs=[
            ("IFLA_IFNAME", "cni0"),
            ("IFLA_ADDRESS", "02:00:00:00:00:01"),
            ("IFLA_MTU", 1450),
            ("IFLA_MASTER", 3),
            ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]}),
        ],
    )
    assert route.parse_link(Reply(16, 0, 1, payload)) == route.Link(
        7, "cni0", 0x1003, "02:00:00:00:00:01", 1450, 3, "bridge"
    )


def test_an_address_that_pyroute2_wrote_is_read() -> None:
    payload = encode(
        ifaddrmsg,
        family=socket.AF_INET6,
        prefixlen=64,
        index=9,
        attrs=[("IFA_ADDRESS", "fd00::1")],
    )
    assert route.parse_address(Reply(20, 0, 1, payload)) == (9, ipaddress.ip_interface("fd00::1/64"))


def test_a_route_that_we_wrote_is_read_back() -> None:
    one = Route(ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_address("10.0.0.1"), 5, scope=0, table=254)
    assert route.parse_route(Reply(24, 0, 1, route.new_route(3, one, "x").payload)) == (3, one)


@pytest.mark.parametrize("text", ["", "0a:58", "0a:58:0a:4d:00:0", "0a580a4d0002", "zz:58:0a:4d:00:02"])
def test_a_malformed_hardware_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text is ours or bytes.fromhex's
        route.mac_bytes(text)
