"""The bridge plugin's keys: defaults, refusals, gateways and routes."""

import ipaddress

import pytest

from cni.builtin import bridge_config
from cni.builtin.base import Request
from cni.builtin.bridge import veth_name
from cni.builtin.bridge_config import BridgeConfig
from cni.call import Call
from cni.errors import NetworkConfigInvalid
from cni.fields import Json
from cni.result import Address, Dns, Result, Route

IPAM = Result(
    ips=(
        Address(ipaddress.ip_interface("10.77.0.2/24"), ipaddress.ip_address("10.77.0.1")),
        Address(ipaddress.ip_interface("fd00::2/64"), None),
    ),
    routes=(Route(ipaddress.ip_network("192.0.2.0/24")),),
)


def parse(conf: Json, args: tuple[tuple[str, str], ...] = ()) -> BridgeConfig:
    return bridge_config.parse(Request(Call("a", "/ns", "eth0", args), conf, "1.0.0", None, "test"))


def test_defaults_are_the_references() -> None:
    assert parse({}) == BridgeConfig("cni0", False, False, False, False, 0, False, False, "", b"", Dns())


def test_a_default_gateway_is_a_gateway() -> None:
    assert parse({"isDefaultGateway": True}).is_gateway


@pytest.mark.parametrize(
    "conf",
    [
        {"vlan": 5},
        {"macspoofchk": True},
        {"portIsolation": True},
        {"ipMasqBackend": "iptables"},
        {"ipam": {"type": "dhcp"}},
    ],
)
def test_what_only_the_binary_can_do_is_named(conf: Json) -> None:
    refused = bridge_config.refuses(conf)
    assert refused.split()[0].split(".")[0] in conf


@pytest.mark.parametrize("conf", [{}, {"vlan": 0, "macspoofchk": False}, {"ipam": {"type": "host-local"}}])
def test_the_rest_is_done_here(conf: Json) -> None:
    assert bridge_config.refuses(conf) == ""


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"bridge": "a-name-that-is-too-long"}, "cannot be an interface name"),
        ({"bridge": "a/b"}, "cannot be an interface name"),
        ({"mtu": 67}, "mtu 67 is not between"),
        ({"mtu": -1}, "mtu -1 is not between"),
        ({"mtu": True}, "mtu must be a whole number, not a boolean"),
        ({"hairpinMode": True, "promiscMode": True}, "exclude each other"),
        ({"runtimeConfig": {"mac": "nonsense"}}, "hardware address|non-hexadecimal"),
    ],
)
def test_wrong_keys_are_refused(conf: Json, message: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match=message):
        parse(conf)


@pytest.mark.parametrize(
    ("conf", "args"),
    [
        ({"runtimeConfig": {"mac": "02:00:00:00:00:09"}}, ()),
        ({"args": {"cni": {"mac": "02:00:00:00:00:09"}}}, ()),
        ({}, (("MAC", "02:00:00:00:00:09"),)),
    ],
)
def test_a_hardware_address_may_be_asked_for(conf: Json, args: tuple[tuple[str, str], ...]) -> None:
    config = parse(conf, args)
    assert bridge_config.pod_mac(config, IPAM) == b"\x02\0\0\0\0\x09"


def test_the_hardware_address_follows_from_the_ipv4_address() -> None:
    assert bridge_config.pod_mac(parse({}), IPAM) == b"\x0a\x58\x0a\x4d\x00\x02"
    assert bridge_config.pod_mac(parse({}), Result(ips=IPAM.ips[1:])) == b""


def test_a_gateway_bridge_fills_in_gateways() -> None:
    wanted = bridge_config.with_gateways(parse({"isGateway": True}), IPAM)
    assert [str(one.gateway) for one in wanted.ips] == ["10.77.0.1", "fd00::1"]
    assert [str(one) for one in bridge_config.bridge_addresses(wanted)] == ["10.77.0.1/24", "fd00::1/64"]
    assert wanted.routes == IPAM.routes
    assert bridge_config.with_gateways(parse({}), IPAM) == IPAM


def test_a_default_gateway_adds_the_routes_that_ipam_did_not() -> None:
    given = Result(ips=IPAM.ips, routes=(Route(ipaddress.ip_network("::/0")),))
    wanted = bridge_config.with_gateways(parse({"isDefaultGateway": True}), given)
    assert [(str(one.destination), str(one.gateway)) for one in wanted.routes] == [
        ("::/0", "None"),
        ("0.0.0.0/0", "10.77.0.1"),
    ]


def test_routes_take_the_gateway_of_their_family() -> None:
    wanted = bridge_config.pod_routes(IPAM)
    assert [str(one.gateway) for one in wanted] == ["10.77.0.1"]


def test_the_hosts_end_has_a_stable_name() -> None:
    assert veth_name("abc", "eth0") == veth_name("abc", "eth0")
    assert veth_name("abc", "eth0") != veth_name("abc", "eth1")
    assert len(veth_name("abc", "eth0")) == 15
