"""The files of ``podwright node-config``, judged by the tools that are to read them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from host.cgroups import Hierarchy
from tests.critest.toolchain import ensure_tool

PODWRIGHT = Path(sys.executable).parent / "podwright"
SOCKET = "unix:///run/podwright/podwright.sock"
DOCKER = Path(__file__).with_name("docker.sh")
JOIN = ["--join", "10.0.0.1:6443", "--token", "abcdef.0123456789abcdef"]
JOIN += ["--discovery-token-ca-cert-hash", "sha256:" + "0f" * 32]
TIMEOUT_S = 120


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    directory = tmp_path / "net.d"
    directory.mkdir()
    return directory


def node_config(tool: str, networks: Path, *options: str) -> Path:
    """A directory with the files for ``tool`` on a node with these CNI networks."""
    target = networks.parent / tool
    line = [str(PODWRIGHT), "node-config", tool, "--write", str(target), "--network-dir", str(networks)]
    line += ["--config", os.devnull, *options]
    subprocess.run(line, check=True, timeout=TIMEOUT_S, capture_output=True)
    return target


def judge(file: Path) -> str:
    """What kubeadm has against a configuration; empty when nothing."""
    line = [str(ensure_tool("kubeadm")), "config", "validate", "--config", str(file)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return "" if done.returncode == 0 else done.stderr


def add_network(directory: Path, *subnets: str) -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets]}
    conflist = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "ipam": ipam}]}
    (directory / "10-pods.conflist").write_text(json.dumps(conflist))


@pytest.mark.parametrize(
    "subnets",
    [
        [],
        ["10.85.0.0/16"],
        ["10.85.0.0/26"],
        ["10.0.0.0/7"],
        ["10.85.0.0/16", "fd00:85::/64"],
        ["10.85.0.0/24", "fd00:85::/112"],
        ["fd00::/32"],
    ],
    ids=str,
)
def test_kubeadm_accepts_the_first_node(networks: Path, subnets: list[str]) -> None:
    if subnets:
        add_network(networks, *subnets)
    assert judge(node_config("kubeadm", networks) / "kubeadm.yaml") == ""


def test_kubeadm_accepts_a_joining_node(networks: Path) -> None:
    assert judge(node_config("kubeadm", networks, *JOIN) / "kubeadm.yaml") == ""


def test_kubeadm_would_have_refused_a_wrong_key(networks: Path) -> None:
    file = node_config("kubeadm", networks) / "kubeadm.yaml"
    file.write_text(file.read_text().replace("criSocket", "criSocked"))
    assert 'unknown field "nodeRegistration.criSocked"' in judge(file)


def test_the_kubelets_configuration_has_only_keys_that_it_knows(networks: Path) -> None:
    text = (node_config("kubelet", networks) / "kubelet.yaml").read_text()
    file = node_config("kubeadm", networks) / "kubeadm.yaml"
    init, cluster, _ = file.read_text().split("---\n")
    file.write_text("---\n".join((init, cluster, text)))
    assert judge(file) == ""
    file.write_text("---\n".join((init, cluster, text.replace("staticPodPath", "staticPodsPath"))))
    assert 'unknown field "staticPodsPath"' in judge(file)


def test_kind_gives_its_nodes_the_socket(networks: Path, tmp_path: Path) -> None:
    files = node_config("kind", networks)
    cluster = yaml.safe_load((files / "cluster.yaml").read_text())
    cluster["nodes"].append({**cluster["nodes"][0], "role": "worker"})
    (files / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    for directory in ("programs", "state"):
        (tmp_path / directory).mkdir()
    (tmp_path / "programs/docker").symlink_to(DOCKER)
    environment = {
        "PATH": f"{tmp_path}/programs:{os.environ['PATH']}",
        "STATE": f"{tmp_path}/state",
        "KUBECONFIG": f"{tmp_path}/kubeconfig",
    }
    line = [
        str(ensure_tool("kind")),
        "create",
        "cluster",
        "--retain",
        "--config",
        str(files / "cluster.yaml"),
    ]
    done = subprocess.run(
        line, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    made = {file.parent.name: file for file in tmp_path.glob("state/*/kubeadm.conf")}
    assert set(made) == {"kind-control-plane", "kind-worker"}, done.stderr
    for file in made.values():
        assert judge(file) == ""
        documents = {each["kind"]: each for each in yaml.safe_load_all(file.read_text())}
        for kind in ("InitConfiguration", "JoinConfiguration"):
            assert documents[kind]["nodeRegistration"]["criSocket"] == SOCKET
        refuses = documents["KubeletConfiguration"].get("failCgroupV1", True)
        assert Hierarchy.detect().version == 2 or not refuses
