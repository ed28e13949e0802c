"""ContainerStats, ListContainerStats and StreamContainerStats: cgroup files and the writable layer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from api.runtime.v1 import api_pb2 as pb
from cri.containers.listing import matching
from cri.containers.record import KIND, Container
from cri.containers.status import get_finished
from cri.node import Node
from cri.sandboxes.listing import CHUNK
from cri.stats.rate import CpuRate
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


def cpu_usage(stats: Stats, now: int, rate: int | None) -> pb.CpuUsage:
    return pb.CpuUsage(
        timestamp=now,
        usage_core_nano_seconds=value(0 if stats.cpu is None else stats.cpu.usage_ns),
        usage_nano_cores=value(rate),
        psi=psi_stats(stats, "cpu"),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """Counters, and when they were read: since the epoch, and by the monotonic clock."""

    stats: Stats = field(default_factory=Stats)
    at_ns: int = field(default_factory=time.time_ns)
    monotonic_ns: int = field(default_factory=time.monotonic_ns)

    def rate(self, of: CpuRate) -> int | None:
        return None if self.stats.cpu is None else of.at(self.monotonic_ns, self.stats.cpu.usage_ns)


def look_at(node: Node, containers: Iterable[Container]) -> list[Look]:
    """One at each; those that have ended have no counters. Blocking: some small files a container."""
    return [
        Look(node.cgroups.usage(one.cgroup_path)) if one.alive and one.cgroup_path else Look()
        for one in containers
    ]


async def message(node: Node, container: Container) -> pb.ContainerStats:
    """What ``container`` uses now; a container that has ended has only attributes and its layer.

    A layer that cannot be measured is left out: the log says why.

    Raises:
        RootfsNotFound: it is being removed.
    """
    used = await _used(node, container)
    (look,) = await asyncio.to_thread(look_at, node, [container])
    return _message(node, container, look, used)


def _message(node: Node, container: Container, look: Look, used: tuple[int, int] | None) -> pb.ContainerStats:
    stats, now = look.stats, look.at_ns
    return pb.ContainerStats(
        attributes=pb.ContainerAttributes(
            id=container.id,
            metadata=container.config.metadata,
            labels=container.config.labels,
            annotations=container.config.annotations,
        ),
        cpu=cpu_usage(stats, now, look.rate(container.cpu_rate)),
        memory=memory_usage(stats.memory or MemoryUsage(0, 0, 0, 0, 0), now, psi_stats(stats, "memory")),
        swap=None if stats.memory is None else swap_usage(stats.memory, now),
        io=pb.IoUsage(timestamp=now, psi=psi_stats(stats, "io")) if stats.pressure else None,
        writable_layer=None if used is None else _writable_layer(node, *used, now),
    )


async def _used(node: Node, container: Container) -> tuple[int, int] | None:
    """Bytes and inodes of the writable layer, None when they are not known.

    Raises:
        RootfsNotFound: it is being removed.
    """
    try:
        return await node.rootfs.usage(container.id)
    except OSError:
        return None


def _writable_layer(node: Node, used_bytes: int, inodes: int, now: int) -> pb.FilesystemUsage:
    return pb.FilesystemUsage(
        timestamp=now,
        fs_id=pb.FilesystemIdentifier(mountpoint=str(node.images.fs_info().mountpoint)),
        used_bytes=value(used_bytes),
        inodes_used=value(inodes),
    )


async def messages(node: Node, containers: Sequence[Container]) -> list[pb.ContainerStats]:
    """The same of several, or what was collected of them where there is a period for that.

    One that is removed meanwhile is left out, as it would be a moment later, and so is one of which no
    message can be made.
    """
    kept = node.collected.containers
    if kept is None:
        return await read(node, containers)
    missing = await read(node, [one for one in containers if one.id not in kept])
    return [kept[one.id] for one in containers if one.id in kept] + missing


async def read(node: Node, containers: Sequence[Container]) -> list[pb.ContainerStats]:
    """What they use now, in one pass."""
    if not containers:
        return []
    used = await asyncio.gather(*(_used(node, one) for one in containers), return_exceptions=True)
    looks = await asyncio.to_thread(look_at, node, containers)
    found = []
    for container, look, layer in zip(containers, looks, used, strict=True):
        if isinstance(layer, RootfsNotFound):
            continue
        try:
            if isinstance(layer, BaseException):
                raise layer
            found.append(_message(node, container, look, layer))
        except Exception as error:
            node.quarantine.add(KIND, container.id, f"statistics: {type(error).__name__}: {error}")
    return found


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
