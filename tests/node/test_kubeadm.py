"""docs/kubernetes.md: its commands, as they stand there, on a node that kubeadm then makes Ready.

Only those that fetch from the network have stand-ins (kubeadm.sh, kubernetes.py).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cache import PROJECT
from tests.node.conftest import Guest
from tests.node.image import image
from tests.node.kubernetes import image_archives, node_files
from tests.node.machine import Machine, Outcome
from tests.node.page import commands

WAY = "From an empty Debian node to a Ready one"
FETCHING = ("apt-get ", "curl ", "echo 'deb ")
MEMORY_MB = 4096
TIMEOUT_S = 7200
RESULTS = PROJECT / "build/node/kubeadm"
# What a user does next: ordinary pods on the only node, cluster DNS, a Deployment.
AFTERWARDS = """
kubectl wait --for=condition=Ready node --all --timeout=40m
kubectl taint nodes --all node-role.kubernetes.io/control-plane-
kubectl create deployment web --image=registry.k8s.io/pause:3.10.2 --replicas=2 -- sleep 100000
kubectl wait --for=condition=Available deployment/web --timeout=40m
kubectl -n kube-system wait --for=condition=Available deployment/coredns --timeout=40m
"""


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """How the commands ended; what they left is in RESULTS."""
    prelude = Path(__file__).with_name("kubeadm.sh").read_text()
    lines = [line for line in commands(WAY) if not line.startswith(FETCHING)]
    script = "\n".join((prelude, "set -x", *lines, AFTERWARDS))
    additions = {image_archives(): Path("/root/images"), **node_files()}
    with Machine(image(), memory_mb=MEMORY_MB) as machine:
        return Guest(machine, RESULTS).run(script, timeout_s=TIMEOUT_S, additions=additions)


def items(name: str) -> list[Any]:
    found: list[Any] = json.loads((RESULTS / name).read_text())["items"]
    return found


def test_the_way_is_shorter_than_ten_commands() -> None:
    assert 0 < len(commands(WAY)) < 10


def test_the_commands_end_well(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.output[-4000:]


@pytest.mark.usefixtures("outcome")
def test_the_node_is_ready_with_this_runtime() -> None:
    (node,) = items("nodes.json")
    conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("podwright://")
    assert node["spec"]["podCIDR"].startswith("10.85.")


@pytest.mark.usefixtures("outcome")
def test_the_control_plane_dns_and_a_deployment_run() -> None:
    pods = items("pods.json")
    running = {pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"}
    assert running == {pod["metadata"]["name"] for pod in pods}
    for wanted in ("etcd-", "kube-apiserver-", "kube-controller-manager-", "kube-scheduler-", "kube-proxy-"):
        assert any(name.startswith(wanted) for name in running)
    assert sum(name.startswith("coredns-") for name in running) == 2
    assert sum(name.startswith("web-") for name in running) == 2


@pytest.mark.usefixtures("outcome")
def test_the_kubelet_takes_the_cgroup_driver_from_the_runtime() -> None:
    log = (RESULTS / "kubelet.log").read_text()
    assert 'Using cgroup driver setting received from the CRI runtime" cgroupDriver="systemd"' in log
