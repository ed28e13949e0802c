"""UpdateContainerResources: written to the cgroup by us, so that it works alike under every runtime."""

import asyncio

from api.errors import FailedPrecondition, InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import KIND, Container
from cri.containers.status import get_finished
from cri.node import Node
from host.cgroup_limits import Limits


class NotAlive(FailedPrecondition):
    """The container has ended."""


class BelowUsage(InvalidArgument):
    """The new memory limit is below what the container uses."""


def limits_of(asked: pb.LinuxContainerResources) -> Limits:
    """What to write; 0 and "" leave a value alone, as the CRI has it."""
    return Limits(
        cpu_shares=asked.cpu_shares or None,
        cpu_quota_us=asked.cpu_quota or None,
        cpu_period_us=asked.cpu_period or None,
        cpuset_cpus=asked.cpuset_cpus or None,
        cpuset_mems=asked.cpuset_mems or None,
        memory_bytes=asked.memory_limit_in_bytes or None,
        memory_swap_bytes=asked.memory_swap_limit_in_bytes or None,
        hugepage_bytes={limit.page_size: limit.limit for limit in asked.hugepage_limits if limit.limit},
        unified=dict(asked.unified),
    )


def merge(kept: pb.LinuxContainerResources, asked: pb.LinuxContainerResources) -> None:
    """Carry every set field of ``asked`` into ``kept``, which ContainerStatus reports."""
    for field, value in asked.ListFields():
        if field.name not in ("hugepage_limits", "unified", "oom_score_adj"):
            setattr(kept, field.name, value)
    if asked.hugepage_limits:
        del kept.hugepage_limits[:]
        kept.hugepage_limits.extend(asked.hugepage_limits)
    kept.unified.update(asked.unified)


async def update_container_resources(
    node: Node, request: pb.UpdateContainerResourcesRequest
) -> pb.UpdateContainerResourcesResponse:
    """Change limits of a container that is created or running; done when this answers.

    Raises:
        RecordNotFound: no such container. NotAlive: it has ended. BelowUsage: see there.
    """
    container = get_finished(node, request.container_id)
    if not container.alive:
        raise NotAlive(
            f"container {container.id[:12]} is {container.phase}: only a live one has limits to change"
        )
    _check_memory(node, container, request.linux)
    await asyncio.to_thread(node.cgroups.apply, container.cgroup_path, limits_of(request.linux))
    merge(container.config.linux.resources, request.linux)
    node.records.put(KIND, container.to_row())
    return pb.UpdateContainerResourcesResponse()


def _check_memory(node: Node, container: Container, asked: pb.LinuxContainerResources) -> None:
    limit = asked.memory_limit_in_bytes
    usage = node.cgroups.memory(container.cgroup_path) if limit > 0 else None
    if usage is not None and usage.usage_bytes > limit:
        raise BelowUsage(
            f"linux.memory_limit_in_bytes {limit} is below the {usage.usage_bytes} bytes that "
            f"container {container.id[:12]} uses now"
        )
