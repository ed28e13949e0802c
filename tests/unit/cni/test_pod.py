"""What a pod tells plugins."""

from pathlib import Path

import pytest

from cni.errors import NetworkConfigInvalid
from cni.nat import PortMapping
from cni.pod import PodNetwork, call_for, capabilities, quantity
from cni.result import Dns


def pod(**fields: object) -> PodNetwork:
    return PodNetwork("abc", Path("/nonexistent/net"), "default", "web", "u-1", **fields)  # type: ignore[arg-type]


def test_the_kubernetes_arguments_are_given() -> None:
    call = call_for(pod())
    assert call.args_text() == (
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
        "K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1"
    )
    assert (call.container_id, call.ifname) == ("abc", "eth0")


def test_a_namespace_that_is_gone_is_left_out() -> None:
    assert call_for(pod()).netns == ""


def test_a_plain_pod_has_no_capability_arguments() -> None:
    assert capabilities(pod(port_mappings=(PortMapping(0, 80),))) == {}


def test_capabilities_have_their_conventional_names() -> None:
    found = capabilities(
        pod(
            port_mappings=(PortMapping(80, 8080, "TCP", "0.0.0.0"), PortMapping(53, 53, "UDP", "127.0.0.1")),
            annotations={"kubernetes.io/ingress-bandwidth": "10M"},
            cgroup_path="/kubepods/x",
            dns=Dns(("10.0.0.10",), search=("a",)),
        )
    )
    assert found == {
        "portMappings": [
            {"hostPort": 80, "containerPort": 8080, "protocol": "tcp"},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"},
        ],
        "bandwidth": {"ingressRate": 10_000_000, "ingressBurst": 2**31 - 1},
        "dns": {"servers": ["10.0.0.10"], "searches": ["a"]},
        "cgroupPath": "/kubepods/x",
        "io.kubernetes.cri.pod-annotations": {"kubernetes.io/ingress-bandwidth": "10M"},
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10", 10),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5M", 1_500_000),
        ("2e3", 2000),
        ("1E", 10**18),
        ("1500m", 1),
    ],
)
def test_quantities(text: str, number: int) -> None:
    assert quantity(text, "x") == number


@pytest.mark.parametrize("text", ["", "M", "10 M", "-1", "1Mi2", "10mb", "ten"])
def test_other_texts_are_no_quantities(text: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match="is not a quantity"):
        quantity(text, "x")
