"""UpdatePodSandboxResources: the pod's sums after an in-place resize."""

from api.errors import FailedPrecondition
from api.runtime.v1 import api_pb2 as pb
from cri.containers.update import fingerprint, limits_of, merge
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import cgroup, lifecycle
from cri.sandboxes.record import Phase, Sandbox
from cri.subject import of_sandbox

# Amounts of which a pod needs the containers' and the overhead's together.
_ADDED = ("cpu_quota", "cpu_shares", "memory_limit_in_bytes", "memory_swap_limit_in_bytes")


class SandboxStopped(FailedPrecondition):
    """Nothing runs in the sandbox that limits could hold for."""


def together(
    resources: pb.LinuxContainerResources, overhead: pb.LinuxContainerResources
) -> pb.LinuxContainerResources:
    """What the pod as a whole may use; an amount that the containers are not bounded in stays unset."""
    summed = pb.LinuxContainerResources()
    summed.CopyFrom(resources)
    for name in _ADDED:
        amount, extra = getattr(resources, name), getattr(overhead, name)
        if amount > 0 and extra > 0:
            setattr(summed, name, amount + extra)
    return summed


async def update_pod_sandbox_resources(
    node: Node, request: pb.UpdatePodSandboxResourcesRequest
) -> pb.UpdatePodSandboxResourcesResponse:
    """Note the pod's new resources and write them to its cgroup, where it has one of its own.

    Raises:
        RecordNotFound: no such sandbox. SandboxStopped: it is not ready. LimitRefused: by the kernel.
    """
    sandbox = node.sandboxes.get(request.pod_sandbox_id)
    _require_ready(sandbox)
    # Only the same values join a running update; others must be written, too.
    subject = f"{sandbox.id} {fingerprint(request)}"
    await node.operations.run(
        "UpdatePodSandboxResources",
        subject,
        lambda operation: _update(node, operation, sandbox, request),
        of_sandbox(sandbox),
    )
    return pb.UpdatePodSandboxResourcesResponse()


def _require_ready(sandbox: Sandbox) -> None:
    if sandbox.phase is not Phase.READY:
        raise SandboxStopped(
            f"sandbox {sandbox.id[:12]} is {sandbox.phase}: only a ready one has limits to change"
        )


async def _update(
    node: Node, operation: Operation, sandbox: Sandbox, request: pb.UpdatePodSandboxResourcesRequest
) -> None:
    async with sandbox.queue.turn(operation):
        node.sandboxes.require(sandbox)
        _require_ready(sandbox)
        if cgroup.has_own_parent(sandbox):
            limits = limits_of(together(request.resources, request.overhead))
            with operation.step("limits"):
                await node.cgroup_driver.apply(sandbox.cgroup_parent, limits)
        linux = sandbox.config.linux
        merge(linux.resources, request.resources)
        merge(linux.overhead, request.overhead)
        lifecycle.save(node, sandbox)
