"""RemovePodSandbox: stop it, remove its containers, forget it."""

import logging

from api.errors import PodwrightError
from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.remove import remove_and_wait
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import lifecycle, network
from cri.sandboxes.record import KIND, Phase, Sandbox
from cri.sandboxes.release import release
from cri.sandboxes.stop import stop_sandbox
from cri.subject import of_sandbox

logger = logging.getLogger(__name__)


async def remove_pod_sandbox(node: Node, request: pb.RemovePodSandboxRequest) -> pb.RemovePodSandboxResponse:
    """Remove a sandbox with all its containers, by force; one that is not there is fine."""
    sandbox = node.sandboxes.find(request.pod_sandbox_id)
    if sandbox is not None:
        await node.operations.run(
            "RemovePodSandbox",
            sandbox.id,
            lambda operation: _remove(node, operation, sandbox),
            of_sandbox(sandbox),
        )
    elif (unreadable := node.quarantine.find(KIND, request.pod_sandbox_id)) is not None:
        stand_in = Sandbox(SandboxId(unreadable), unreadable, pb.PodSandboxConfig(), "", 0, Phase.STOPPED)
        await node.operations.run(
            "RemovePodSandbox",
            unreadable,
            lambda operation: _remove_unreadable(node, operation, stand_in),
            {"sandbox_id": unreadable},
        )
    return pb.RemovePodSandboxResponse()


async def _remove_unreadable(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    """One whose record cannot be read: by its id everything is found but how its network was asked for."""
    with operation.step("runtime delete"):
        for handler in node.handlers.names():
            await node.handlers.get(handler).delete(sandbox.id, force=True)
    with operation.step("network release"):
        try:
            await network.detach(node, sandbox)
        except PodwrightError as error:
            logger.warning("the network of sandbox %s may be left: %s", sandbox.id[:12], error)
    await _remove(node, operation, sandbox)


async def _remove(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    await stop_sandbox(node, sandbox)
    for container in [item for item in node.containers if item.sandbox_id == sandbox.id]:
        with operation.step(f"remove container {container.config.metadata.name}"):
            await remove_and_wait(node, container)
    async with sandbox.queue.turn(operation):
        if not lifecycle.is_there(node, sandbox):
            return
        await release(node, sandbox, operation)
    logger.info("pod removed", extra=fields(**of_sandbox(sandbox), ms=operation.milliseconds()))
