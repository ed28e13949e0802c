"""kubeadm makes a node of this machine with the file that node-config prints."""

import json
import os
import subprocess
import sys

from tests.harness import private
from tests.harness.cache import PROJECT
from tests.harness.patience import patient

TIMEOUT_S = patient(1500)
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def test_the_node_is_ready_and_runs_the_control_plane_dns_and_a_deployment() -> None:
    # In namespaces of its own inside these: the other tests' cluster has the same ports.
    environment = {name: value for name, value in os.environ.items() if name != private.INSIDE}
    inner = [sys.executable, "-m", "tests.cluster.kubeadm"]
    line = [sys.executable, "-m", "tests.harness.private", *inner]
    done = subprocess.run(
        line, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    (node,) = found["nodes"]
    assert {one["type"]: one["status"] for one in node["status"]["conditions"]}["Ready"] == "True"
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("podwright://")
    assert node["spec"]["podCIDR"].startswith("10.85.")
    running = {pod["metadata"]["name"] for pod in found["pods"] if pod["status"]["phase"] == "Running"}
    assert running == {pod["metadata"]["name"] for pod in found["pods"]}
    assert {f"{name}-node" for name in CONTROL_PLANE} < running
    assert sorted(name.split("-")[0] for name in running if not name.endswith("-node")) == [
        "coredns",
        "coredns",
        "kube",
        "web",
        "web",
    ]
