"""PodSandboxStatus."""

from api.runtime.v1 import api_pb2 as pb
from cri.node import Node
from cri.sandboxes.record import Phase, Sandbox
from cri.store import RecordNotFound


def message(sandbox: Sandbox) -> pb.PodSandboxStatus:
    """The status message; network and namespaces as the kubelet compares them with its wish."""
    addresses = sandbox.ips
    network = pb.PodSandboxNetworkStatus(
        ip=addresses[0] if addresses else "",
        additional_ips=[pb.PodIP(ip=address) for address in addresses[1:]],
    )
    return pb.PodSandboxStatus(
        id=sandbox.id,
        metadata=sandbox.config.metadata,
        state=sandbox.cri_state(),
        created_at=sandbox.created_ns,
        network=network,
        linux=pb.LinuxPodSandboxStatus(namespaces=pb.Namespace(options=sandbox.options)),
        labels=sandbox.config.labels,
        annotations=sandbox.config.annotations,
        runtime_handler=sandbox.handler,
    )


async def pod_sandbox_status(node: Node, request: pb.PodSandboxStatusRequest) -> pb.PodSandboxStatusResponse:
    """The status of one sandbox.

    Raises:
        RecordNotFound: no finished sandbox has the id.
    """
    sandbox = node.sandboxes.get(request.pod_sandbox_id)
    if sandbox.phase is Phase.CREATING:
        raise RecordNotFound(f"sandbox {sandbox.id} is being created")
    return pb.PodSandboxStatusResponse(
        status=message(sandbox), info=await _info(node, sandbox) if request.verbose else None
    )


async def _info(node: Node, sandbox: Sandbox) -> dict[str, str]:
    from cri.inspect import verbose  # only people ask for it

    return await verbose.of_sandbox(node, sandbox)
