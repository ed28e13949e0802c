"""PodSandboxStatus."""

import contextlib
import json

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
        status=message(sandbox), info=_info(node, sandbox) if request.verbose else None
    )


def _info(node: Node, sandbox: Sandbox) -> dict[str, str]:
    details = {
        "pid": sandbox.pause_pid,
        "namespaces": {kind: str(path) for kind, path in sandbox.namespaces.items()},
        "directory": str(node.paths.sandbox(sandbox.id)),
    }
    spec = node.paths.sandbox(sandbox.id) / "pause" / "config.json"
    with contextlib.suppress(FileNotFoundError):  # it may be removed at any moment
        details["runtimeSpec"] = json.loads(spec.read_bytes())
    return {"info": json.dumps(details)}
