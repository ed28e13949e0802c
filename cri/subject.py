"""Whom a line of the log is about: the pod, the container and the image of a request or record, as fields.

namespace, pod, container   the names that people know
sandbox_id, container_id    whole ids
image                       as the request or the container names it
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.protobuf.message import Message

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container
from cri.logs import Fields
from cri.node import Node
from cri.sandboxes.record import Sandbox
from cri.store import AmbiguousId


def of_sandbox(sandbox: Sandbox) -> dict[str, object]:
    """The fields of a pod."""
    return {**of_pod(sandbox.config.metadata), "sandbox_id": sandbox.id}


def of_container(node: Node, container: Container) -> dict[str, object]:
    """The fields of a container and its pod."""
    sandbox = node.sandboxes.find(container.sandbox_id)
    return {
        **({"sandbox_id": container.sandbox_id} if sandbox is None else of_sandbox(sandbox)),
        "container": container.config.metadata.name,
        "container_id": container.id,
        "image": container.image_spec().image,
    }


def of_id(node: Node, identifier: str) -> dict[str, object]:
    """The fields of whatever has this id; the id alone when nothing has it any more."""
    if (container := node.containers.find(identifier)) is not None:
        return of_container(node, container)
    sandbox = node.sandboxes.find(identifier)
    return {"id": identifier} if sandbox is None else of_sandbox(sandbox)


def of_request(node: Node, request: Any) -> Callable[[], Fields]:
    """The fields of what a request of the CRI names; found when they are asked for."""
    return partial(_of_request, node, request)


def _of_request(node: Node, request: Message) -> Fields:
    found: dict[str, object] = {}
    for each in _parts(node, request):
        found |= {name: value for name, value in each.items() if value}
    return found


def _parts(node: Node, request: Any) -> Iterator[dict[str, object]]:
    names = request.DESCRIPTOR.fields_by_name
    if "sandbox_config" in names:
        yield of_pod(request.sandbox_config.metadata)
    if "image" in names:
        yield {"image": request.image.image}
    for key in ("pod_sandbox_id", "container_id"):
        if key in names and (identifier := getattr(request, key)):
            yield _by_prefix(node, key, identifier)
    if "config" in names and isinstance(request.config, pb.PodSandboxConfig):
        yield of_pod(request.config.metadata)
    if "config" in names and isinstance(request.config, pb.ContainerConfig):
        yield {"container": request.config.metadata.name, "image": request.config.image.image}


def _by_prefix(node: Node, key: str, identifier: str) -> dict[str, object]:
    unknown: dict[str, object] = {key.removeprefix("pod_"): identifier}
    try:
        found = of_id(node, identifier)
    except AmbiguousId:
        return unknown
    return unknown if "id" in found else found


def of_pod(metadata: pb.PodSandboxMetadata) -> dict[str, object]:
    """Its names, before it has an id."""
    return {"namespace": metadata.namespace, "pod": metadata.name}
