"""RemovePodSandbox: stop it, remove its containers, forget it."""

import logging

from api.runtime.v1 import api_pb2 as pb
from cri.containers.remove import remove_and_wait
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes.record import Sandbox
from cri.sandboxes.release import release
from cri.sandboxes.stop import stop_sandbox
from cri.subject import of_sandbox

logger = logging.getLogger(__name__)


async def remove_pod_sandbox(node: Node, request: pb.RemovePodSandboxRequest) -> pb.RemovePodSandboxResponse:
    """Remove a sandbox with all its containers, by force; one that is not there is fine."""
    sandbox = node.sandboxes.find(request.pod_sandbox_id)
    if sandbox is not None:
        await node.operations.run(
            "RemovePodSandbox", sandbox.id, lambda operation: _remove(node, operation, sandbox)
        )
    return pb.RemovePodSandboxResponse()


async def _remove(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    await stop_sandbox(node, sandbox)
    for container in [item for item in node.containers if item.sandbox_id == sandbox.id]:
        with operation.step(f"remove container {container.config.metadata.name}"):
            await remove_and_wait(node, container)
    async with sandbox.queue.turn(operation):
        if not node.sandboxes.holds(sandbox):
            return
        await release(node, sandbox, operation)
    logger.info("pod removed", extra=fields(**of_sandbox(sandbox), ms=operation.milliseconds()))
