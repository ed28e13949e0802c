"""StopPodSandbox: end its containers, then its network and namespaces."""

import asyncio
import logging

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Phase as ContainerPhase
from cri.containers.stop import stop
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import lifecycle
from cri.sandboxes.record import Phase, Sandbox
from cri.sandboxes.release import shut_down
from cri.subject import of_sandbox

logger = logging.getLogger(__name__)


async def stop_pod_sandbox(node: Node, request: pb.StopPodSandboxRequest) -> pb.StopPodSandboxResponse:
    """Stop a sandbox; one that is stopped or not there is fine."""
    sandbox = node.sandboxes.find(request.pod_sandbox_id)
    if sandbox is not None:
        await stop_sandbox(node, sandbox)
    return pb.StopPodSandboxResponse()


async def stop_sandbox(node: Node, sandbox: Sandbox) -> None:
    """The operation behind StopPodSandbox; repeats join it."""
    await node.operations.run(
        "StopPodSandbox",
        sandbox.id,
        lambda operation: _stop(node, operation, sandbox),
        of_sandbox(sandbox),
    )


async def _stop(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    await _end_containers(node, operation, sandbox)
    async with sandbox.queue.turn(operation):
        if not lifecycle.is_there(node, sandbox):
            return
        await _end_containers(node, operation, sandbox)  # of one that was still being made
        await shut_down(node, sandbox, operation)
        if sandbox.phase is not Phase.STOPPED:
            lifecycle.move(node, sandbox, Phase.STOPPED)
            logger.info("pod stopped", extra=fields(**of_sandbox(sandbox), ms=operation.milliseconds()))


async def _end_containers(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    """From here on the sandbox is not ready, also for a daemon that is started after a crash."""
    if sandbox.phase is Phase.READY:
        lifecycle.move(node, sandbox, Phase.STOPPING)
    running = [item for item in node.containers if item.sandbox_id == sandbox.id and item.alive]
    if running:
        with operation.step(f"stop {len(running)} containers"):
            # By force, as api.proto has it: the kubelet has given them their grace periods before.
            await asyncio.gather(*(stop(node, container, 0) for container in running))
    for container in node.containers:
        if container.sandbox_id == sandbox.id and container.phase is ContainerPhase.CREATING:
            container.abandoned = True
