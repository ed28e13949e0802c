"""Statistics and metrics of live pods by CRI: complete, as a kubelet reads them, and as the kernel counts."""

import math
import time
from collections.abc import Callable, Iterator

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.stats.families import FAMILIES
from host.cgroups import Hierarchy
from tests.harness.client import TIMEOUT_S, Client, container_config, eventually
from tests.harness.daemon import Daemon, Settings, Value
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, pod_config

pytestmark = pytest.mark.root

# What critest 1.36 does not insist on either (containerd#13532), and what has no values before the first I/O.
MAY_LACK_VALUES = {
    "container_hugetlb_usage_bytes",
    "container_hugetlb_max_usage_bytes",
    "container_spec_cpu_quota",
    "container_ulimits_soft",
    "container_blkio_device_usage_total",
    *(f"container_fs_{way}_{what}total" for way in ("reads", "writes") for what in ("", "bytes_")),
    *(family.name for family in FAMILIES if family.group == "pressure"),
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One that reports all groups."""
    tables: dict[str, dict[str, Value]] = {
        "crio.stats": {"included_pod_metrics": ["all"]},
        "crio.runtime": {"enable_pod_events": True},
    }
    daemon = Daemon(Settings(bridge="pw-test6", subnet="10.86.0.0/24", tables=tables))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    yield daemon
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


@pytest.fixture
def running(client: Client) -> Iterator[Callable[..., tuple[str, str]]]:
    """Runs a pod with a container that does as it is told; removes it afterwards."""
    pods: list[str] = []

    def run(script: str, quota: int = 0) -> tuple[str, str]:
        config = pod_config(f"pod{len(pods)}")
        pods.append(client.run_pod(config))
        asked = container_config("main", IMAGE, ["sh", "-c", script])
        if quota:
            asked.linux.resources.CopyFrom(pb.LinuxContainerResources(cpu_period=20000, cpu_quota=quota))
        container = client.create_container(pods[-1], asked, config)
        client.start_container(container)
        return pods[-1], container

    yield run
    for pod in pods:
        client.remove_pod(pod)


def metrics(client: Client) -> dict[str, pb.PodSandboxMetrics]:
    answer = client.runtime.ListPodSandboxMetrics(pb.ListPodSandboxMetricsRequest(), timeout=TIMEOUT_S)
    return {one.pod_sandbox_id: one for one in answer.pod_metrics}


def stats(client: Client, container: str) -> pb.ContainerStats:
    request = pb.ContainerStatsRequest(container_id=container)
    return client.runtime.ContainerStats(request, timeout=TIMEOUT_S).stats


def test_every_metric_is_described_and_has_as_many_label_values(
    client: Client, running: Callable[..., tuple[str, str]]
) -> None:
    pod, container = running("sleep 1000")
    request = pb.ListMetricDescriptorsRequest()
    described = {
        one.name: len(one.label_keys)
        for one in client.runtime.ListMetricDescriptors(request, timeout=TIMEOUT_S).descriptors
    }
    assert described.keys() == {family.name for family in FAMILIES}
    found = metrics(client)[pod]
    (own,) = found.container_metrics
    assert own.container_id == container
    values = [*found.metrics, *own.metrics]
    for one in values:
        assert len(one.label_values) == described[one.name], one
        assert one.timestamp > 0
    assert described.keys() - {one.name for one in values} <= MAY_LACK_VALUES
    status = client.container(container)
    for one in own.metrics:
        assert list(one.label_values[:5]) == [container, status.image.image, "tests", "pod0", "main"]
    for one in found.metrics:
        assert list(one.label_values[:5]) == [pod, "", "tests", "pod0", "POD"]


def test_the_stream_says_the_same(client: Client, running: Callable[..., tuple[str, str]]) -> None:
    pod, _ = running("sleep 1000")
    stream = client.runtime.StreamPodSandboxMetrics(pb.StreamPodSandboxMetricsRequest(), timeout=TIMEOUT_S)
    names = {
        one.pod_sandbox_id: {each.name for each in one.container_metrics[0].metrics}
        for part in stream
        for one in part.pod_sandbox_metrics
    }
    assert names[pod] == {one.name for one in metrics(client)[pod].container_metrics[0].metrics}


def test_values_are_those_of_the_kernel(client: Client, running: Callable[..., tuple[str, str]]) -> None:
    script = "exec 9</dev/null; head -c 3000000 /dev/zero > /written; sleep 1000 & sleep 1001 & wait"
    pod, container = running(script)
    path, hierarchy = f"{CGROUP}/podwright-{container}", Hierarchy.detect()
    eventually(lambda: len(hierarchy.members(path)), lambda count: count == 3, "it has its processes")

    def look() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        before = kernel(hierarchy, path)
        (own,) = metrics(client)[pod].container_metrics
        seen = {one.name.removeprefix("container_"): one.value.value for one in own.metrics}
        return before, seen, kernel(hierarchy, path)

    before, seen, after = look()
    for name, least in before.items():
        assert least <= seen[name] <= after[name], name
    assert (seen["processes"], seen["threads"]) == (3, 3)
    assert seen["file_descriptors"] >= 3 * 4
    eventually(lambda: look()[1].get("fs_usage_bytes", 0), lambda size: size >= 3_000_000, "it is measured")


def kernel(hierarchy: Hierarchy, path: str) -> dict[str, int]:
    """What only grows while a container sleeps, as our own readers of the kernel's files have it."""
    used = hierarchy.stats(path)
    assert used.cpu is not None
    assert used.memory is not None
    return {
        "cpu_usage_seconds_total": used.cpu.usage_ns // 1_000_000_000,
        "memory_max_usage_bytes": used.memory.max_usage_bytes or 0,
        "memory_failcnt": used.memory.limit_hits or 0,
        "oom_events_total": hierarchy.oom_kills(path) or 0,
    }


def test_half_a_core_reads_half_a_core(client: Client, running: Callable[..., tuple[str, str]]) -> None:
    """By the quota or less, where the machine is busy: the rate must be what the kernel's counter did."""
    _, container = running("while :; do :; done", quota=10000)
    path, hierarchy = f"{CGROUP}/podwright-{container}", Hierarchy.detect()
    stats(client, container)
    begun, used = time.monotonic_ns(), hierarchy.cpu_usage_ns(path)
    time.sleep(6)  # a window of the rate
    now = stats(client, container)
    elapsed = time.monotonic_ns() - begun
    done = hierarchy.cpu_usage_ns(path)
    assert used is not None
    assert done is not None
    counted = (done - used) / elapsed
    assert math.isclose(now.cpu.usage_nano_cores.value / 1e9, counted, rel_tol=0.05)
    assert used <= now.cpu.usage_core_nano_seconds.value <= done
    assert counted <= 0.525


def test_a_pod_has_rate_network_and_processes(
    client: Client, running: Callable[..., tuple[str, str]]
) -> None:
    pod, container = running("while :; do :; done", quota=10000)
    request = pb.PodSandboxStatsRequest(pod_sandbox_id=pod)

    def rate() -> pb.LinuxPodSandboxStats:
        return client.runtime.PodSandboxStats(request, timeout=TIMEOUT_S).stats.linux

    def has_rates(found: pb.LinuxPodSandboxStats) -> bool:
        return all(one.HasField("usage_nano_cores") for one in (found.cpu, found.containers[0].cpu))

    found = eventually(rate, has_rates, "there are rates of both")
    assert found.network.default_interface.name == "eth0"
    assert found.process.process_count.value >= 1
    assert [one.attributes.id for one in found.containers] == [container]


def test_an_ended_container_has_no_metrics(client: Client, running: Callable[..., tuple[str, str]]) -> None:
    pod, container = running("exit 0")
    client.wait_exited(container)
    assert list(metrics(client)[pod].container_metrics) == []
