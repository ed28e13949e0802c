"""PortForward: where the client finds the pod's ports."""

from api.runtime.v1 import api_pb2 as pb
from cri.node import Node
from cri.sandboxes.record import Sandbox
from cri.streaming.backend import PortForwardRequest


def ready_sandbox(node: Node, identifier: str) -> Sandbox:
    """The ready sandbox with this id.

    Raises:
        RecordNotFound: there is none. SandboxNotReady: it is stopped.
    """
    sandbox = node.sandboxes.get(identifier)
    sandbox.require_ready("its ports cannot be reached")
    return sandbox


async def port_forward(node: Node, request: pb.PortForwardRequest) -> pb.PortForwardResponse:
    """A URL at which ports are reached, once, within a minute; which ports, most clients say there.

    Raises:
        InvalidStreamRequest: no id, or no such port.
        RecordNotFound: no such sandbox.
        SandboxNotReady: it is stopped.
        TooManyTokens: too many URLs wait for their clients.
    """
    asked = PortForwardRequest.checked(request.pod_sandbox_id, request.port)
    ready_sandbox(node, asked.sandbox_id)
    return pb.PortForwardResponse(url=node.streaming.port_forward_url(asked))
