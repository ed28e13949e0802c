"""ListPodSandbox and StreamPodSandboxes."""

from collections.abc import AsyncIterator

from api.runtime.v1 import api_pb2 as pb
from cri.filters import candidates, has_labels
from cri.node import Node
from cri.sandboxes.record import KIND, Phase, Sandbox

# Items in one message of a Stream* call; a message must stay well under the client's 16 MiB.
CHUNK = 1000


def matching(node: Node, wanted: pb.PodSandboxFilter) -> list[Sandbox]:
    """Finished sandboxes that pass every set part of the filter."""
    return [
        sandbox
        for sandbox in candidates(node.sandboxes, wanted.id)
        if sandbox.phase is not Phase.CREATING
        and (not wanted.HasField("state") or sandbox.cri_state() == wanted.state.state)
        and has_labels(sandbox.config.labels, wanted.label_selector)
    ]


async def list_pod_sandbox(node: Node, request: pb.ListPodSandboxRequest) -> bytes:
    """The answer with all sandboxes that pass the filter, oldest first."""
    return b"".join(_items(node, request.filter))


def _items(node: Node, wanted: pb.PodSandboxFilter) -> list[bytes]:
    return node.quarantine.rendered(KIND, matching(node, wanted), Sandbox.listed)


async def stream_pod_sandboxes(node: Node, request: pb.StreamPodSandboxesRequest) -> AsyncIterator[bytes]:
    """The same in messages of at most CHUNK items; no message for no items (KEP-5825)."""
    found = _items(node, request.filter)
    for first in range(0, len(found), CHUNK):
        yield b"".join(found[first : first + CHUNK])
