import ipaddress
from typing import Any

import pytest

from cri.cli.nodeconfig import kubeadm
from cri.cli.nodeconfig.kubeadm import BadJoin, Join
from tests.unit.cri.cli.nodeconfig.made import SOCKET, documents, facts

TOKEN = "abcdef.0123456789abcdef"
CA_HASH = "sha256:" + "0f" * 32


def configuration(*networks: str, **changes: Any) -> dict[str, Any]:
    (file,) = kubeadm.files(facts(pod_networks=tuple(map(ipaddress.ip_network, networks)), **changes))
    assert file.name == "kubeadm.yaml"
    return documents(file)


def test_the_first_node_has_socket_cgroup_driver_and_pod_range() -> None:
    found = configuration("10.85.0.0/16")
    assert found["InitConfiguration"]["nodeRegistration"] == {"criSocket": SOCKET}
    assert found["ClusterConfiguration"]["networking"] == {"podSubnet": "10.85.0.0/16"}
    assert "controllerManager" not in found["ClusterConfiguration"]
    assert found["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    versions = {each["apiVersion"] for kind, each in found.items() if kind != "KubeletConfiguration"}
    assert versions == {"kubeadm.k8s.io/v1beta4"}


def test_without_a_network_there_is_no_range_and_the_reason_stands_there() -> None:
    (file,) = kubeadm.files(facts(network="there is none in /x"))
    assert "networking" not in documents(file)["ClusterConfiguration"]
    assert "# No pod range is set: there is none in /x." in file.text


@pytest.mark.parametrize(
    ("networks", "arguments"),
    [
        (["10.85.0.0/16"], {}),
        (["10.85.0.0/24"], {}),
        (["10.85.0.0/26"], {"node-cidr-mask-size-ipv4": "26"}),
        (["10.0.0.0/7"], {"node-cidr-mask-size-ipv4": "23"}),
        (["fd00::/48"], {}),
        (["fd00::/112"], {"node-cidr-mask-size-ipv6": "112"}),
        (["fd00::/32"], {"node-cidr-mask-size-ipv6": "48"}),
        (["10.85.0.0/25", "fd00::/64"], {"node-cidr-mask-size-ipv4": "25"}),
    ],
)
def test_a_node_gets_a_part_of_the_range_that_kubeadm_accepts(
    networks: list[str], arguments: dict[str, str]
) -> None:
    cluster = configuration(*networks)["ClusterConfiguration"]
    given = cluster.get("controllerManager", {"extraArgs": []})["extraArgs"]
    assert {each["name"]: each["value"] for each in given} == arguments
    assert cluster["networking"]["podSubnet"] == ",".join(networks)


def test_a_joining_node_says_whom_it_trusts() -> None:
    (file,) = kubeadm.files(facts(), Join.parse("10.0.0.1:6443", TOKEN, CA_HASH))
    found = documents(file)
    assert list(found) == ["JoinConfiguration"]
    assert found["JoinConfiguration"]["nodeRegistration"] == {"criSocket": SOCKET}
    assert found["JoinConfiguration"]["discovery"]["bootstrapToken"] == {
        "apiServerEndpoint": "10.0.0.1:6443",
        "token": TOKEN,
        "caCertHashes": [CA_HASH],
    }


@pytest.mark.parametrize("join", [None, Join.parse("10.0.0.1:6443", TOKEN, CA_HASH)], ids=["init", "join"])
@pytest.mark.parametrize(("version", "ignored"), [(1, ["SystemVerification"]), (2, None)])
def test_with_cgroup_version_1_kubeadm_is_told_to_go_on(
    join: Join | None, version: int, ignored: list[str] | None
) -> None:
    (file,) = kubeadm.files(facts(cgroup_version=version), join)
    found = documents(file)["JoinConfiguration" if join else "InitConfiguration"]
    assert found["nodeRegistration"].get("ignorePreflightErrors") == ignored


@pytest.mark.parametrize("endpoint", ["node.example:6443", "[fd00::1]:6443"])
def test_names_and_addresses_of_both_families_are_endpoints(endpoint: str) -> None:
    assert Join.parse(endpoint, TOKEN, CA_HASH).endpoint == endpoint


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("10.0.0.1", TOKEN, CA_HASH), "--join: '10.0.0.1' has another form"),
        (("https://10.0.0.1:6443", TOKEN, CA_HASH), "--join: "),
        (("fd00::1:6443", TOKEN, CA_HASH), "--join: "),
        (("10.0.0.1:6443", "", CA_HASH), "--token: is missing"),
        (("10.0.0.1:6443", TOKEN.upper(), CA_HASH), "--token: "),
        (("10.0.0.1:6443", TOKEN, CA_HASH[7:]), "--discovery-token-ca-cert-hash: "),
    ],
)
def test_what_is_missing_or_malformed_is_named_with_the_way_out(
    given: tuple[str, str, str], named: str
) -> None:
    with pytest.raises(BadJoin) as caught:
        Join.parse(*given)
    assert str(caught.value).startswith(named)
    assert "--print-join-command" in str(caught.value)
