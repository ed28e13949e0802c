"""UpdateContainerResources: written to the cgroup by us, so that it works alike under every runtime."""

import asyncio
import contextlib
import hashlib
from dataclasses import replace

from google.protobuf.message import Message

from api.errors import FailedPrecondition, InvalidArgument, PodwrightError
from api.runtime.v1 import api_pb2 as pb
from cri.containers import lifecycle
from cri.containers.record import Container
from cri.containers.status import get_finished
from cri.node import Node
from cri.operations import Operation
from cri.subject import of_container
from host.cgroup_limits import UNLIMITED, Limits
from oci.generate.resources import check_list


class NotAlive(FailedPrecondition):
    """The container has ended."""


class BadLimits(InvalidArgument):
    """The new limits contradict each other."""


class BelowUsage(InvalidArgument):
    """The new memory limit is below what the container uses."""


def limits_of(asked: pb.LinuxContainerResources) -> Limits:
    """What to write; 0 and "" leave a value alone, as the CRI has it.

    Raises:
        BadContainer: a list of processors that is none.
    """
    check_list("cpuset_cpus", asked.cpuset_cpus)
    check_list("cpuset_mems", asked.cpuset_mems)
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


def with_swap(
    asked: pb.LinuxContainerResources, kept: pb.LinuxContainerResources, *, counted: bool
) -> Limits:
    """What to write for a container that has ``kept``: a memory limit alone takes the swap limit along.

    As at creation, no word about swap means none; swap that was asked for before stays while it fits.
    ``counted`` says whether the kernel counts swap at all.

    Raises:
        BadLimits: less memory and swap together than memory.
    """
    memory, swap = asked.memory_limit_in_bytes, asked.memory_swap_limit_in_bytes
    if 0 < swap < memory:
        raise BadLimits(
            f"linux.memory_swap_limit_in_bytes {swap} is below memory_limit_in_bytes {memory}: "
            "it is memory and swap together"
        )
    limits = limits_of(asked)
    if not counted:
        return replace(limits, memory_swap_bytes=None)
    if memory and not swap and not _swap_stays(memory, kept):
        return replace(limits, memory_swap_bytes=memory)
    return limits


def _swap_stays(memory: int, kept: pb.LinuxContainerResources) -> bool:
    swap = kept.memory_swap_limit_in_bytes
    return memory > 0 and (swap < 0 or (swap > kept.memory_limit_in_bytes and swap >= memory))


def reverse(limits: Limits, before: Limits) -> Limits:
    """What brings back ``before`` wherever ``limits`` sets something."""
    back: dict[str, object] = {"hugepage_bytes": before.hugepage_bytes, "unified": before.unified}
    for name in ("cpu_shares", "cpu_period_us", "cpuset_cpus", "cpuset_mems"):
        back[name] = getattr(before, name) if getattr(limits, name) is not None else None
    for name in ("cpu_quota_us", "memory_bytes", "memory_swap_bytes"):
        now = getattr(before, name)
        back[name] = (UNLIMITED if now is None else now) if getattr(limits, name) is not None else None
    return Limits(**back)  # type: ignore[arg-type]


def fingerprint(request: Message) -> str:
    """The same for requests that say the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()[:16]


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
        RecordNotFound: no such container. NotAlive: it has ended. BelowUsage, BadLimits: see there.
        LimitRefused: the kernel will not; nothing has changed then.
    """
    container = get_finished(node, request.container_id)
    _require_alive(container)
    # Only the same values join a running update; others must be written, too.
    subject = f"{container.id} {fingerprint(request)}"
    await node.operations.run(
        "UpdateContainerResources",
        subject,
        lambda operation: _update(node, operation, container, request.linux),
        of_container(node, container),
    )
    return pb.UpdateContainerResourcesResponse()


def _require_alive(container: Container) -> None:
    if not container.alive:
        raise NotAlive(
            f"container {container.id[:12]} is {container.phase}: only a live one has limits to change"
        )


async def _update(
    node: Node, operation: Operation, container: Container, asked: pb.LinuxContainerResources
) -> None:
    async with container.queue.turn(operation):
        node.containers.require(container)
        _require_alive(container)
        kept = container.config.linux.resources
        limits = with_swap(asked, kept, counted=node.host.swap_accounting)
        _check_memory(node, container, asked)
        with operation.step("limits"):
            await _apply(node, container.cgroup_path, limits)
        merge(kept, asked)
        lifecycle.save(node, container)


async def _apply(node: Node, path: str, limits: Limits) -> None:
    """All of ``limits`` or, when the kernel refuses one, none."""
    before = await asyncio.to_thread(node.cgroups.limits, path, limits)
    try:
        await node.cgroup_driver.apply(path, limits)
    except PodwrightError:
        with contextlib.suppress(PodwrightError):
            await node.cgroup_driver.apply(path, reverse(limits, before))
        raise


def _check_memory(node: Node, container: Container, asked: pb.LinuxContainerResources) -> None:
    """Version 2 would kill for it; what the kernel can drop at once, the page cache, does not count."""
    limit = asked.memory_limit_in_bytes
    usage = node.cgroups.memory(container.cgroup_path) if limit > 0 else None
    if usage is not None and usage.working_set_bytes > limit:
        raise BelowUsage(
            f"linux.memory_limit_in_bytes {limit} is below the {usage.working_set_bytes} bytes that "
            f"container {container.id[:12]} uses now"
        )
