"""Whom a line of the log is about."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes.record import Sandbox
from cri.server import UNARY
from cri.store import Store
from cri.subject import of_id, of_request

POD = pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name="web", namespace="shop", uid="1"))
CONTAINER = pb.ContainerConfig(
    metadata=pb.ContainerMetadata(name="main"), image=pb.ImageSpec(image="quay.io/a:1")
)
POD_FIELDS = {"namespace": "shop", "pod": "web"}
WITH_ID = {**POD_FIELDS, "sandbox_id": "5" * 64}
WHOLE = {**WITH_ID, "container": "main", "container_id": "c" * 64, "image": "quay.io/a:1"}


@pytest.fixture
def node() -> Node:
    sandboxes, containers = Store[Sandbox]("sandbox"), Store[Container]("container")
    sandboxes.add(Sandbox(SandboxId("5" * 64), "web", POD, "", 1))
    for digit in "cd":
        identifier = ContainerId(digit * 64) if digit == "c" else ContainerId("d" * 63 + "1")
        made = Container(identifier, digit, SandboxId("5" * 64), CONTAINER, "", ImageId("i"), "", 1)
        containers.add(made)
    return cast(Node, SimpleNamespace(sandboxes=sandboxes, containers=containers))


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (pb.RunPodSandboxRequest(config=POD), POD_FIELDS),
        (pb.StopPodSandboxRequest(pod_sandbox_id="5" * 64), WITH_ID),
        (pb.StopPodSandboxRequest(pod_sandbox_id="555"), WITH_ID),
        (pb.StopPodSandboxRequest(pod_sandbox_id="777"), {"sandbox_id": "777"}),
        (
            pb.CreateContainerRequest(pod_sandbox_id="5" * 64, config=CONTAINER, sandbox_config=POD),
            {**WITH_ID, "container": "main", "image": "quay.io/a:1"},
        ),
        (pb.StartContainerRequest(container_id="c" * 64), WHOLE),
        (pb.ExecSyncRequest(container_id="ccc", cmd=["true"]), WHOLE),
        (pb.RemoveContainerRequest(container_id="777"), {"container_id": "777"}),
        (
            pb.PullImageRequest(image=pb.ImageSpec(image="a:1"), sandbox_config=POD),
            {**POD_FIELDS, "image": "a:1"},
        ),
        (pb.ImageStatusRequest(image=pb.ImageSpec(image="a:1")), {"image": "a:1"}),
        (pb.ListContainersRequest(), {}),
        (pb.VersionRequest(), {}),
    ],
)
def test_a_request_names_its_pod(node: Node, request_: Any, found: dict[str, object]) -> None:
    assert of_request(node, request_)() == found


@pytest.mark.parametrize("verb", UNARY)
def test_no_request_is_too_odd_to_be_told_of(node: Node, verb: str) -> None:
    of_request(node, getattr(pb, f"{verb}Request")())()


def test_an_id_that_nothing_has_any_more_is_told_itself(node: Node) -> None:
    assert of_id(node, "7" * 64) == {"id": "7" * 64}
    assert of_id(node, "5" * 64) == WITH_ID
