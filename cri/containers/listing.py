"""ListContainers and StreamContainers."""

from collections.abc import AsyncIterator

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import KIND, Container, Phase
from cri.filters import candidates, has_labels
from cri.node import Node
from cri.sandboxes.listing import CHUNK


def matching(node: Node, wanted: pb.ContainerFilter) -> list[Container]:
    """Finished containers that pass every set part of the filter; ids may be prefixes."""
    return [
        container
        for container in candidates(node.containers, wanted.id)
        if container.phase is not Phase.CREATING
        and container.sandbox_id.startswith(wanted.pod_sandbox_id)
        and (not wanted.HasField("state") or container.cri_state() == wanted.state.state)
        and has_labels(container.config.labels, wanted.label_selector)
    ]


async def list_containers(node: Node, request: pb.ListContainersRequest) -> bytes:
    """The answer with all containers that pass the filter, oldest first."""
    return b"".join(_items(node, request.filter))


def _items(node: Node, wanted: pb.ContainerFilter) -> list[bytes]:
    return node.quarantine.rendered(KIND, matching(node, wanted), Container.listed)


async def stream_containers(node: Node, request: pb.StreamContainersRequest) -> AsyncIterator[bytes]:
    """The same in messages of at most CHUNK items; no message for no items (KEP-5825)."""
    found = _items(node, request.filter)
    for first in range(0, len(found), CHUNK):
        yield b"".join(found[first : first + CHUNK])
