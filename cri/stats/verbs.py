"""ContainerStats, ListContainerStats and StreamContainerStats: cgroup files and the writable layer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

from api.runtime.v1 import api_pb2 as pb
from cri.containers.listing import matching
from cri.containers.record import KIND, Container
from cri.containers.status import get_finished
from cri.node import Node
from cri.sandboxes.listing import CHUNK
from host.cgroup_stats import MemoryUsage, Pressure, Stats
from storage.overlay import RootfsNotFound


def value(number: int | None) -> pb.UInt64Value | None:
    return None if number is None else pb.UInt64Value(value=number)


def psi_stats(stats: Stats, resource: str) -> pb.PsiStats | None:
    if not stats.pressure:
        return None
    return pb.PsiStats(
        Full=_pressure(stats.pressure.get((resource, "full"))),
        Some=_pressure(stats.pressure.get((resource, "some"))),
    )


def _pressure(line: Pressure | None) -> pb.PsiData | None:
    """PSI totals stay the kernel's microseconds, as the kubelet expects them."""
    if line is None:
        return None
    return pb.PsiData(Total=line.total_us, Avg10=line.avg10, Avg60=line.avg60, Avg300=line.avg300)


def memory_usage(usage: MemoryUsage, now: int, psi: pb.PsiStats | None) -> pb.MemoryUsage:
    return pb.MemoryUsage(
        timestamp=now,
        working_set_bytes=value(usage.working_set_bytes),
        available_bytes=value(usage.available_bytes),
        usage_bytes=value(usage.usage_bytes),
        rss_bytes=value(usage.rss_bytes),
        page_faults=value(usage.page_faults),
        major_page_faults=value(usage.major_page_faults),
        psi=psi,
    )


def swap_usage(usage: MemoryUsage, now: int) -> pb.SwapUsage | None:
    if usage.swap_bytes is None:
        return None
    available = None if usage.swap_limit_bytes is None else max(0, usage.swap_limit_bytes - usage.swap_bytes)
    return pb.SwapUsage(
        timestamp=now, swap_usage_bytes=value(usage.swap_bytes), swap_available_bytes=value(available)
    )


async def message(node: Node, container: Container) -> pb.ContainerStats:
    """What ``container`` uses now; a container that has ended has only attributes and its layer.

    A layer that cannot be measured is left out: the log says why.

    Raises:
        RootfsNotFound: it is being removed.
    """
    now = time.time_ns()
    stats = (
        node.cgroups.usage(container.cgroup_path) if container.alive and container.cgroup_path else Stats()
    )
    cpu_ns = 0 if stats.cpu is None else stats.cpu.usage_ns
    return pb.ContainerStats(
        attributes=pb.ContainerAttributes(
            id=container.id,
            metadata=container.config.metadata,
            labels=container.config.labels,
            annotations=container.config.annotations,
        ),
        cpu=pb.CpuUsage(timestamp=now, usage_core_nano_seconds=value(cpu_ns), psi=psi_stats(stats, "cpu")),
        memory=memory_usage(stats.memory or MemoryUsage(0, 0, 0, 0, 0), now, psi_stats(stats, "memory")),
        swap=None if stats.memory is None else swap_usage(stats.memory, now),
        io=pb.IoUsage(timestamp=now, psi=psi_stats(stats, "io")) if stats.pressure else None,
        writable_layer=await _writable_layer(node, container, now),
    )


async def _writable_layer(node: Node, container: Container, now: int) -> pb.FilesystemUsage | None:
    try:
        used_bytes, inodes = await node.rootfs.usage(container.id)
    except OSError:
        return None
    return pb.FilesystemUsage(
        timestamp=now,
        fs_id=pb.FilesystemIdentifier(mountpoint=str(node.images.fs_info().mountpoint)),
        used_bytes=value(used_bytes),
        inodes_used=value(inodes),
    )


async def messages(node: Node, containers: Iterable[Container]) -> list[pb.ContainerStats]:
    """The same of several; one that is removed meanwhile is left out, as it would be a moment later, and so
    is one of which no message can be made."""
    found = await asyncio.gather(*(_unless_removed(node, container) for container in containers))
    return [one for one in found if one is not None]


async def _unless_removed(node: Node, container: Container) -> pb.ContainerStats | None:
    try:
        return await message(node, container)
    except RootfsNotFound:
        return None
    except Exception as error:
        node.quarantine.add(KIND, container.id, f"statistics: {type(error).__name__}: {error}")
        return None


async def container_stats(node: Node, request: pb.ContainerStatsRequest) -> pb.ContainerStatsResponse:
    """What one container uses.

    Raises:
        RecordNotFound: no finished container has the id.
    """
    return pb.ContainerStatsResponse(stats=await message(node, get_finished(node, request.container_id)))


async def _all(node: Node, wanted: pb.ContainerStatsFilter) -> list[pb.ContainerStats]:
    same = pb.ContainerFilter(
        id=wanted.id, pod_sandbox_id=wanted.pod_sandbox_id, label_selector=wanted.label_selector
    )
    return await messages(node, matching(node, same))


async def list_container_stats(
    node: Node, request: pb.ListContainerStatsRequest
) -> pb.ListContainerStatsResponse:
    """What every container uses that passes the filter."""
    return pb.ListContainerStatsResponse(stats=await _all(node, request.filter))


async def stream_container_stats(
    node: Node, request: pb.StreamContainerStatsRequest
) -> AsyncIterator[pb.StreamContainerStatsResponse]:
    """The same in messages of at most CHUNK items."""
    found = await _all(node, request.filter)
    for first in range(0, len(found), CHUNK):
        yield pb.StreamContainerStatsResponse(container_stats=found[first : first + CHUNK])
