"""What tools that know CRI-O read of pods and containers."""

import json
from pathlib import Path

import pytest

from cri.inspect.annotations import of_container, of_sandbox, stamp
from tests.unit.cri.inspect.nodes import CREATED_NS, RESULT, a_container, a_node, a_sandbox


def bare(annotations: dict[str, str]) -> dict[str, str]:
    assert all(name.startswith("io.kubernetes.cri-o.") for name in annotations)
    return {name.removeprefix("io.kubernetes.cri-o."): value for name, value in annotations.items()}


def test_a_pod_tells_its_addresses_and_what_its_network_said(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    found = bare(of_sandbox(a_node(tmp_path, sandbox, a_container(sandbox)), sandbox, RESULT))
    assert (found["IP.0"], found["IP.1"]) == ("10.88.0.2", "fd00::2")
    assert json.loads(found["CNIResult"]) == RESULT


def test_a_pod_tells_who_it_is_as_crio_writes_it(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    found = bare(of_sandbox(a_node(tmp_path, sandbox, a_container(sandbox)), sandbox, None))
    assert "CNIResult" not in found
    assert json.loads(found.pop("Metadata")) == {
        "name": "web",
        "uid": "u1",
        "namespace": "tests",
        "attempt": 2,
    }
    assert json.loads(found.pop("Labels")) == {"app": "web"}
    assert json.loads(found.pop("NamespaceOptions")) == {"pid": 1}
    assert json.loads(found.pop("PortMappings")) == [{"protocol": 1, "container_port": 53, "host_port": 5353}]
    told = (
        "ContainerType",
        "ContainerName",
        "Created",
        "HostNetwork",
        "KubeName",
        "SandboxID",
        "CgroupParent",
    )
    assert {name: found[name] for name in told} == {
        "ContainerType": "sandbox",
        "ContainerName": "k8s_POD_web_tests_u1_2",
        "Created": "2025-11-30T10:53:20.12Z",
        "HostNetwork": "false",
        "KubeName": "web",
        "SandboxID": sandbox.id,
        "CgroupParent": "/kubepods/pod1",
    }


def test_a_container_tells_its_own_and_its_pods(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    container = a_container(sandbox)
    found = bare(of_container(a_node(tmp_path, sandbox, container), container, "/merged"))
    [volume] = json.loads(found.pop("Volumes"))
    assert (volume["container_path"], volume["host_path"], volume["readonly"]) == ("/data", "/srv", True)
    told = ("ContainerType", "ContainerName", "IP.0", "Image", "ImageRef", "MountPoint", "TTY", "Stdin")
    assert {name: found[name] for name in told} == {
        "ContainerType": "container",
        "ContainerName": "main",
        "IP.0": "10.88.0.2",
        "Image": "app:1",
        "ImageRef": "sha256:" + "1" * 64,
        "MountPoint": "/merged",
        "TTY": "true",
        "Stdin": "false",
    }
    assert found["SeccompProfilePath"] == "runtime/default"
    assert found["SandboxID"] == sandbox.id


def test_a_container_whose_pod_is_gone_still_tells_what_it_knows(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    container = a_container(sandbox)
    node = a_node(tmp_path, sandbox, container)
    node.sandboxes.discard(sandbox)
    found = bare(of_container(node, container, ""))
    assert found["SandboxID"] == sandbox.id
    assert not {"IP.0", "MountPoint", "SandboxName"} & found.keys()


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (CREATED_NS, "2025-11-30T10:53:20.12Z"),
        (1_000_000_000, "1970-01-01T00:00:01Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
    ],
)
def test_a_time_is_written_as_go_does(ns: int, text: str) -> None:
    assert stamp(ns) == text
