"""PodSandboxStats and its lists (KEP-2371): the pod's cgroup, its network namespace, and its containers."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container
from cri.containers.record import Phase as ContainerPhase
from cri.node import Node
from cri.sandboxes import cgroup
from cri.sandboxes.listing import CHUNK, matching
from cri.sandboxes.record import KIND, Phase, Sandbox
from cri.stats.network import own_counters
from cri.stats.verbs import Look, cpu_usage, memory_usage, messages, psi_stats, value
from cri.store import RecordNotFound
from host.cgroup_stats import CpuUsage, MemoryUsage, Stats
from host.net_counters import InterfaceCounters


async def pod_sandbox_stats(node: Node, request: pb.PodSandboxStatsRequest) -> pb.PodSandboxStatsResponse:
    """What one pod uses; a stopped one has counters of its containers' layers only.

    Raises:
        RecordNotFound: no finished sandbox has the id.
    """
    sandbox = node.sandboxes.get(request.pod_sandbox_id)
    if sandbox.phase is Phase.CREATING:
        raise RecordNotFound(f"sandbox {sandbox.id} is being created")
    return pb.PodSandboxStatsResponse(stats=await pod_message(node, sandbox))


async def list_pod_sandbox_stats(
    node: Node, request: pb.ListPodSandboxStatsRequest
) -> pb.ListPodSandboxStatsResponse:
    """What every ready pod uses that passes the filter."""
    return pb.ListPodSandboxStatsResponse(stats=await _all(node, request.filter))


async def stream_pod_sandbox_stats(
    node: Node, request: pb.StreamPodSandboxStatsRequest
) -> AsyncIterator[pb.StreamPodSandboxStatsResponse]:
    """The same in messages of at most CHUNK pods."""
    found = await _all(node, request.filter)
    for first in range(0, len(found), CHUNK):
        yield pb.StreamPodSandboxStatsResponse(pod_sandbox_stats=found[first : first + CHUNK])


async def _all(node: Node, wanted: pb.PodSandboxStatsFilter) -> list[pb.PodSandboxStats]:
    same = pb.PodSandboxFilter(
        id=wanted.id,
        label_selector=wanted.label_selector,
        state=pb.PodSandboxStateValue(state=pb.SANDBOX_READY),
    )
    sandboxes = matching(node, same)
    kept = node.collected.pods
    if kept is None:
        return await read(node, sandboxes)
    missing = await read(node, [one for one in sandboxes if one.id not in kept])
    return [kept[one.id] for one in sandboxes if one.id in kept] + missing


async def read(node: Node, sandboxes: Sequence[Sandbox]) -> list[pb.PodSandboxStats]:
    """What they use now, in one pass; what cannot be shown is left out alone."""
    if not sandboxes:
        return []
    containers = _containers(node, {sandbox.id for sandbox in sandboxes})
    of_containers = {one.attributes.id: one for one in await _of_all(node, containers)}
    counted = await asyncio.to_thread(_all_linux, node, sandboxes, containers)
    found = []
    for sandbox, linux in counted:
        try:
            own = (of_containers.get(one.id) for one in containers[sandbox.id])
            found.append(_message(sandbox, linux, [one for one in own if one is not None]))
        except Exception as error:
            _leave_out(node, sandbox, error)
    return found


async def _of_all(node: Node, containers: Mapping[str, Sequence[Container]]) -> Sequence[pb.ContainerStats]:
    return await messages(node, [one for some in containers.values() for one in some])


def _leave_out(node: Node, sandbox: Sandbox, error: Exception) -> None:
    node.quarantine.add(KIND, sandbox.id, f"statistics: {type(error).__name__}: {error}")


def _containers(node: Node, sandboxes: Collection[str]) -> Mapping[str, list[Container]]:
    """The finished containers of some pods, by pod."""
    found: dict[str, list[Container]] = {identifier: [] for identifier in sandboxes}
    for one in node.containers:
        if one.sandbox_id in found and one.phase is not ContainerPhase.CREATING:
            found[one.sandbox_id].append(one)
    return found


def _all_linux(
    node: Node, sandboxes: Sequence[Sandbox], containers: Mapping[str, Sequence[Container]]
) -> list[tuple[Sandbox, pb.LinuxPodSandboxStats]]:
    """The counters of many pods, in one thread: each is a millisecond of small reads."""
    found = []
    for sandbox in sandboxes:
        try:
            found.append((sandbox, _linux(node, sandbox, containers[sandbox.id])))
        except Exception as error:
            _leave_out(node, sandbox, error)
    return found


async def pod_message(node: Node, sandbox: Sandbox) -> pb.PodSandboxStats:
    """What ``sandbox`` uses now."""
    containers = _containers(node, {sandbox.id})[sandbox.id]
    linux = await asyncio.to_thread(_linux, node, sandbox, containers)
    return _message(sandbox, linux, await messages(node, containers))


def _message(
    sandbox: Sandbox, linux: pb.LinuxPodSandboxStats, containers: Sequence[pb.ContainerStats]
) -> pb.PodSandboxStats:
    linux.containers.extend(containers)
    return pb.PodSandboxStats(
        attributes=pb.PodSandboxAttributes(
            id=sandbox.id,
            metadata=sandbox.config.metadata,
            labels=sandbox.config.labels,
            annotations=sandbox.config.annotations,
        ),
        linux=linux,
    )


def _linux(node: Node, sandbox: Sandbox, containers: Sequence[Container]) -> pb.LinuxPodSandboxStats:
    alive = [one for one in containers if one.alive]
    stats, processes = _of_cgroups(node, sandbox, alive)
    look = Look(stats)
    now = look.at_ns
    return pb.LinuxPodSandboxStats(
        cpu=cpu_usage(stats, now, look.rate(sandbox.cpu_rate)),
        memory=memory_usage(stats.memory or MemoryUsage(0, 0, 0, 0, 0), now, psi_stats(stats, "memory")),
        network=_network(sandbox, alive, now),
        process=pb.ProcessUsage(timestamp=now, process_count=value(processes)),
        io=pb.IoUsage(timestamp=now, psi=psi_stats(stats, "io")) if stats.pressure else None,
    )


def _of_cgroups(node: Node, sandbox: Sandbox, alive: Sequence[Container]) -> tuple[Stats, int]:
    """Counters and number of processes: of the pod's cgroup, or of its containers' without one of its own."""
    if cgroup.has_own_parent(sandbox):
        paths = [sandbox.cgroup_parent] if sandbox.phase is Phase.READY else []
    else:
        paths = [one.cgroup_path for one in alive if one.cgroup_path]
    processes = sum(map(node.cgroups.process_count, paths))
    return total([node.cgroups.usage(path) for path in paths]), processes


def total(stats: Sequence[Stats]) -> Stats:
    """The sum of some cgroups' CPU time and memory; pressure has no sum, and one cgroup is left as it is."""
    if len(stats) == 1:
        return stats[0]
    cpus = [one.cpu.usage_ns for one in stats if one.cpu is not None]
    memories = [one.memory for one in stats if one.memory is not None]
    return Stats(
        cpu=CpuUsage(sum(cpus)) if cpus else None,
        memory=_total_memory(memories) if memories else None,
    )


def _total_memory(usages: Sequence[MemoryUsage]) -> MemoryUsage:
    """What the CRI reports of them; the limit of the sum is unknown when one of them has none."""
    limits = [one.limit_bytes for one in usages if one.limit_bytes is not None]
    return MemoryUsage(
        usage_bytes=sum(one.usage_bytes for one in usages),
        working_set_bytes=sum(one.working_set_bytes for one in usages),
        rss_bytes=sum(one.rss_bytes for one in usages),
        page_faults=sum(one.page_faults for one in usages),
        major_page_faults=sum(one.major_page_faults for one in usages),
        limit_bytes=sum(limits) if len(limits) == len(usages) else None,
    )


def _network(sandbox: Sandbox, alive: Sequence[Container], now: int) -> pb.NetworkUsage | None:
    counters = own_counters(sandbox, alive)
    if counters is None:
        return None
    return pb.NetworkUsage(
        timestamp=now,
        default_interface=None if counters.default is None else _interface(counters.default),
        interfaces=[_interface(one) for one in counters.others],
    )


def _interface(counters: InterfaceCounters) -> pb.NetworkInterfaceUsage:
    return pb.NetworkInterfaceUsage(
        name=counters.name,
        rx_bytes=value(counters.rx_bytes),
        rx_errors=value(counters.rx_errors),
        tx_bytes=value(counters.tx_bytes),
        tx_errors=value(counters.tx_errors),
    )
