"""The info of verbose answers: CRI-O's keys, whatever state the pod or container is in."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri import spec_file
from cri.images.verbs import image_status
from cri.inspect import verbose
from cri.node import Node
from cri.sandboxes.record import Sandbox
from tests.unit.cri.inspect.nodes import RESULT, a_container, a_node, a_sandbox
from tests.unit.cri.made import IMAGE


def test_a_container_has_its_document_with_the_annotations_of_both(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    container = a_container(sandbox)
    info = json.loads(verbose.of_container(a_node(tmp_path, sandbox, container), container)["info"])
    assert (info["sandboxID"], info["pid"], info["privileged"]) == (sandbox.id, 77, False)
    assert info["runtimeSpec"]["annotations"]["a"] == "b"
    assert info["runtimeSpec"]["annotations"]["io.kubernetes.cri-o.MountPoint"] == "/merged"


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_a_container_whose_document_is_gone_or_damaged_is_told_of_all_the_same(
    tmp_path: Path, content: bytes | None
) -> None:
    sandbox = a_sandbox()
    container = a_container(sandbox)
    node = a_node(tmp_path, sandbox, container)
    document = node.paths.container(container.id) / spec_file.NAME
    document.unlink() if content is None else document.write_bytes(content)
    info = json.loads(verbose.of_container(node, container)["info"])
    assert info["pid"] == 77
    assert "runtimeSpec" not in info


async def of_pod(node: Node, sandbox: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await verbose.of_sandbox(node, sandbox))["info"])
    return found


async def test_a_pod_without_a_process_has_a_document_all_the_same(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    info = await of_pod(a_node(tmp_path, sandbox, a_container(sandbox)), sandbox)
    spec = info["runtimeSpec"]
    assert info["pid"] == 0
    assert info["cniResult"] == RESULT
    assert spec["hostname"] == "web"
    assert spec["linux"] == {
        "namespaces": [{"type": "network", "path": "/run/ns/net"}, {"type": "ipc", "path": "/run/ns/ipc"}],
        "cgroupsPath": f"/kubepods/pod1/podwright-{sandbox.id}",
        "sysctl": {"net.core.somaxconn": "5"},
    }
    assert spec["annotations"]["io.kubernetes.cri-o.IP.0"] == "10.88.0.2"


async def test_a_pod_with_a_process_has_the_document_of_that(tmp_path: Path) -> None:
    sandbox = a_sandbox(pause_pid=5)
    node = a_node(tmp_path, sandbox, a_container(sandbox))
    bundle = node.paths.sandbox(sandbox.id) / "pause"
    bundle.mkdir(parents=True)
    (bundle / spec_file.NAME).write_text('{"process": {"args": ["/pause"]}}')
    info = await of_pod(node, sandbox)
    assert info["pid"] == 5
    assert info["runtimeSpec"]["process"]["args"] == ["/pause"]
    assert info["runtimeSpec"]["annotations"]["io.kubernetes.cri-o.ContainerType"] == "sandbox"


async def test_a_pod_on_the_nodes_network_has_no_result(tmp_path: Path) -> None:
    sandbox = a_sandbox()
    sandbox.options.network = pb.NODE
    info = await of_pod(a_node(tmp_path, sandbox, a_container(sandbox)), sandbox)
    assert "cniResult" not in info


async def test_an_image_has_its_whole_config(tmp_path: Path) -> None:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "history": [{"created_by": "RUN"}],
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    images = SimpleNamespace(find=lambda _: IMAGE, config_document=lambda _: document)
    sandbox = a_sandbox()
    node = a_node(tmp_path, sandbox, a_container(sandbox), images=images)
    request = pb.ImageStatusRequest(image=pb.ImageSpec(image="app"), verbose=True)
    info = json.loads((await image_status(node, request)).info["info"])
    assert info == {"labels": {}, "imageSpec": document}
