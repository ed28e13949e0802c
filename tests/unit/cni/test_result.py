"""Results across versions."""

import ipaddress

import pytest

from cni.errors import NetworkConfigInvalid
from cni.fields import Json
from cni.result import Address, Dns, Interface, Result, Route, merged_dns, parse, render

RESULT = Result(
    interfaces=(
        Interface("cni0", "02:00:00:00:00:01"),
        Interface("eth0", "0a:58:0a:4d:00:02", "/run/netns/x", mtu=1400),
    ),
    ips=(
        Address(ipaddress.ip_interface("10.77.0.2/24"), ipaddress.ip_address("10.77.0.1"), 1),
        Address(ipaddress.ip_interface("fd00::2/64"), None, 1),
    ),
    routes=(Route(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_address("10.77.0.1"), mtu=1300),),
    dns=Dns(("10.0.0.10",), "cluster.local", ("a.b",), ("ndots:5",)),
)


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_old_results_state_the_family(version: str) -> None:
    document = render(RESULT, version)
    assert document["cniVersion"] == version
    assert document["ips"] == [
        {"version": "4", "interface": 1, "address": "10.77.0.2/24", "gateway": "10.77.0.1"},
        {"version": "6", "interface": 1, "address": "fd00::2/64"},
    ]


def test_1_0_has_neither_family_nor_mtu() -> None:
    document = render(RESULT, "1.0.0")
    assert document["ips"] == [
        {"interface": 1, "address": "10.77.0.2/24", "gateway": "10.77.0.1"},
        {"interface": 1, "address": "fd00::2/64"},
    ]
    assert document["interfaces"] == [
        {"name": "cni0", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "mac": "0a:58:0a:4d:00:02", "sandbox": "/run/netns/x"},
    ]
    assert document["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.77.0.1"}]


def test_1_1_loses_nothing() -> None:
    assert parse(render(RESULT, "1.1.0"), "1.1.0", "x") == RESULT


def test_an_empty_result_still_has_dns() -> None:
    assert render(Result(), "1.0.0") == {"cniVersion": "1.0.0", "dns": {}}


def test_a_result_without_version_has_that_of_the_configuration() -> None:
    assert parse({"ips": [{"address": "10.0.0.2/8"}]}, "1.0.0", "x").pod_ips() == ("10.0.0.2",)


def test_only_addresses_in_the_sandbox_are_the_pods() -> None:
    result = Result(
        interfaces=(Interface("cni0"), Interface("eth0", sandbox="/x")),
        ips=tuple(
            Address(ipaddress.ip_interface(text), None, position)
            for text, position in (
                ("10.0.0.1/8", 0),
                ("10.0.0.2/8", 1),
                ("10.0.0.3/8", None),
                ("10.0.0.4/8", 9),
            )
        ),
    )
    assert result.pod_ips() == ("10.0.0.2", "10.0.0.3")


@pytest.mark.parametrize(
    "document",
    [
        {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/8"}},
        {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2"}]},
        {"cniVersion": "1.0.0", "ips": [{"address": "ten/8"}]},
        {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/8", "gateway": "x"}]},
        {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/8", "interface": "0"}]},
        {"cniVersion": "1.0.0", "routes": [{"dst": "default"}]},
        {"cniVersion": "1.0.0", "dns": []},
        {"cniVersion": "1.0.0", "interfaces": {}},
    ],
)
def test_malformed_results_are_refused(document: Json) -> None:
    with pytest.raises(NetworkConfigInvalid):
        parse(document, "1.0.0", "x")


def test_dns_of_the_configuration_wins_if_there_is_any() -> None:
    mine = Dns(nameservers=("1.1.1.1",))
    assert merged_dns(RESULT, mine).dns == mine
    assert merged_dns(RESULT, Dns()).dns == RESULT.dns
