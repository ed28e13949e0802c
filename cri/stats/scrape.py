"""ListMetricDescriptors, ListPodSandboxMetrics and StreamPodSandboxMetrics (KEP-2371).

All ready pods are read in one pass, in one thread; what the writable layers hold is what was measured last. A
container that ends meanwhile has the samples that it still had, or none.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import KIND as CONTAINER
from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes.listing import matching
from cri.sandboxes.record import KIND, Phase, Sandbox
from cri.stats import families, samples
from cri.stats.network import counters_of
from cri.stats.samples import Sample
from host.net_counters import NetworkCounters
from host.process_counts import OpenFiles, open_files

# Pods in one message of the stream; each has some hundred samples.
CHUNK = 100
READY = pb.PodSandboxFilter(state=pb.PodSandboxStateValue(state=pb.SANDBOX_READY))


async def list_metric_descriptors(
    node: Node, request: pb.ListMetricDescriptorsRequest
) -> pb.ListMetricDescriptorsResponse:
    """The metrics of the groups that are included."""
    groups = families.chosen(node.config.stats.included_pod_metrics)
    return pb.ListMetricDescriptorsResponse(descriptors=families.descriptors(groups))


async def list_pod_sandbox_metrics(
    node: Node, request: pb.ListPodSandboxMetricsRequest
) -> pb.ListPodSandboxMetricsResponse:
    """The metrics of every ready pod; the collected ones where there is a period for it."""
    return pb.ListPodSandboxMetricsResponse(pod_metrics=await _current(node))


async def stream_pod_sandbox_metrics(
    node: Node, request: pb.StreamPodSandboxMetricsRequest
) -> AsyncIterator[pb.StreamPodSandboxMetricsResponse]:
    """The same in messages of at most CHUNK pods."""
    found = await _current(node)
    for first in range(0, len(found), CHUNK):
        yield pb.StreamPodSandboxMetricsResponse(pod_sandbox_metrics=found[first : first + CHUNK])


async def _current(node: Node) -> Sequence[pb.PodSandboxMetrics]:
    kept = node.collected.metrics
    return await scrape(node) if kept is None else kept


async def scrape(node: Node) -> list[pb.PodSandboxMetrics]:
    """The metrics of every ready pod, read now."""
    groups = families.chosen(node.config.stats.included_pod_metrics)
    pods = matching(node, READY)
    of_pod: dict[str, list[Container]] = {sandbox.id: [] for sandbox in pods}
    for one in node.containers:
        if one.alive and one.sandbox_id in of_pod:
            of_pod[one.sandbox_id].append(one)
    used: dict[str, int] = {}
    if "disk" in groups:
        found = await asyncio.gather(*(_layer(node, one) for some in of_pod.values() for one in some))
        used = {identifier: size for identifier, size in found if size is not None}
    return await asyncio.to_thread(_Pass(node, groups, used).pods, pods, of_pod)


async def _layer(node: Node, container: Container) -> tuple[str, int | None]:
    try:
        return container.id, (await node.rootfs.usage(container.id))[0]
    except Exception:  # of one that is being removed, or was never measured: the others are not its concern
        return container.id, None


@dataclass(slots=True)
class _Pass:
    """One look at everything."""

    node: Node
    groups: frozenset[str]
    used: dict[str, int]  # bytes of writable layers
    _host: NetworkCounters | None = None
    _disk: os.statvfs_result | None = None

    def pods(self, pods: Iterable[Sandbox], of_pod: dict[str, list[Container]]) -> list[pb.PodSandboxMetrics]:
        """One message each; what cannot be shown is left out alone."""
        return self.node.quarantine.rendered(KIND, pods, lambda pod: self._pod(pod, of_pod[pod.id]))

    def _pod(self, sandbox: Sandbox, containers: Sequence[Container]) -> pb.PodSandboxMetrics:
        now = time.time_ns()
        metadata = sandbox.config.metadata
        labels = (sandbox.id, "", metadata.namespace, metadata.name, "POD")
        return pb.PodSandboxMetrics(
            pod_sandbox_id=sandbox.id,
            metrics=_metrics(self._of_pod(sandbox, containers), labels, now),
            container_metrics=self.node.quarantine.rendered(
                CONTAINER, containers, lambda one: self._container(sandbox, one)
            ),
        )

    def _of_pod(self, sandbox: Sandbox, containers: Sequence[Container]) -> Iterator[Sample]:
        if "network" in self.groups and sandbox.phase is Phase.READY:
            found, self._host = counters_of(sandbox, containers, self._host)
            if found is not None:
                yield from samples.network(found.all)

    def _container(self, sandbox: Sandbox, container: Container) -> pb.ContainerMetrics:
        now = time.time_ns()
        metadata = sandbox.config.metadata
        image = container.image_spec().image
        name = container.config.metadata.name
        labels = (container.id, image, metadata.namespace, metadata.name, name)
        return pb.ContainerMetrics(
            container_id=container.id, metrics=_metrics(self._of_container(container, now), labels, now)
        )

    def _of_container(self, container: Container, now: int) -> Iterator[Sample]:
        yield "last_seen", (), now // 1_000_000_000
        if "spec" in self.groups:
            yield from samples.spec(container.config.linux.resources, container.created_ns)
        if "disk" in self.groups:
            yield from self._of_disk(container)
        if container.cgroup_path:
            yield from self._of_cgroup(container.cgroup_path)

    def _of_cgroup(self, path: str) -> Iterator[Sample]:
        cgroups, groups = self.node.cgroups, self.groups
        if groups & {"cpu", "memory", "hugetlb", "pressure", "process"}:
            stats = cgroups.stats(path)
            for group, of in (
                ("cpu", samples.cpu),
                ("memory", samples.memory),
                ("hugetlb", samples.hugetlb),
                ("pressure", samples.pressure),
            ):
                if group in groups:
                    yield from of(stats)
            if "process" in groups:
                members = cgroups.members(path)
                files = open_files(members) if members else OpenFiles()
                yield from samples.process(stats, len(members), files)
        if "diskIO" in groups:
            yield from samples.disk_io(cgroups.io(path))
        if "oom" in groups:
            yield from samples.oom(cgroups.oom_kills(path))

    def _of_disk(self, container: Container) -> Iterator[Sample]:
        if self._disk is None:
            self._disk = os.statvfs(self.node.config.root)
        size = self._disk.f_blocks * self._disk.f_frsize
        inodes, free = self._disk.f_files, self._disk.f_ffree
        yield from samples.disk(self.used.get(container.id), size, inodes, free)


def _metrics(found: Iterable[Sample], labels: tuple[str, ...], now: int) -> list[pb.Metric]:
    return [
        pb.Metric(
            name=family.name,
            timestamp=now,
            metric_type=family.kind,
            label_values=(*labels, *own),
            value=pb.UInt64Value(value=value),
        )
        for name, own, value in found
        for family in (families.BY_NAME[name],)
    ]
