"""Limits of containers and pods, changed while they run, and what pods use."""

from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config, eventually
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import CGROUP, IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MIB = 1 << 20
FOREVER = ("sleep", "1000000")


def _pod(client: Client, logs: Path, name: str) -> tuple[str, pb.PodSandboxConfig]:
    config = pod_config(name, log_directory=logs)
    config.linux.cgroup_parent = f"{CGROUP}/{name}"
    return client.run_pod(config), config


def _end(client: Client, pod: str, name: str) -> None:
    client.remove_pod(pod)
    Hierarchy.detect().remove(f"{CGROUP}/{name}")  # the kubelet's to remove, as it is the kubelet's to make


def _update(client: Client, container: str, **values: object) -> None:
    request = pb.UpdateContainerResourcesRequest(
        container_id=container,
        linux=pb.LinuxContainerResources(**values),  # type: ignore[arg-type]
    )
    client.runtime.UpdateContainerResources(request, timeout=30)


def _cgroup(container: str, pod: str) -> str:
    return f"{CGROUP}/{pod}/podwright-{container}"


@pytest.mark.parametrize("handler", RUNTIMES)
def test_limits_change_and_are_reported(client: Client, logs: Path, handler: str) -> None:
    config = pod_config("update", log_directory=logs)
    config.linux.cgroup_parent = f"{CGROUP}/update"
    pod = client.run_pod(config, handler)
    wanted = container_config("main", IMAGE, FOREVER)
    created = pb.LinuxContainerResources(
        cpu_shares=100, cpu_quota=20000, cpu_period=100000, memory_limit_in_bytes=64 * MIB, cpuset_cpus="0"
    )
    wanted.linux.resources.CopyFrom(created)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    _update(client, container, memory_limit_in_bytes=128 * MIB)
    _update(client, container, cpu_shares=512, cpuset_cpus="0-1")
    _update(client, container, memory_limit_in_bytes=96 * MIB, memory_swap_limit_in_bytes=96 * MIB)
    now = Hierarchy.detect().limits(_cgroup(container, "update"))
    assert (now.cpu_quota_us, now.cpu_period_us) == (20000, 100000)  # not asked for: as it was
    assert (now.memory_bytes, now.cpuset_cpus) == (96 * MIB, "0-1")
    if now.memory_swap_bytes is not None:
        assert now.memory_swap_bytes == 96 * MIB
    linux = client.container(container).resources.linux
    assert (linux.cpu_shares, linux.cpu_quota, linux.cpuset_cpus) == (512, 20000, "0-1")
    assert linux.memory_limit_in_bytes == 96 * MIB
    _end(client, pod, "update")


def test_limits_that_cannot_be_leave_all_as_it_was(client: Client, logs: Path) -> None:
    pod, config = _pod(client, logs, "below")
    wanted = container_config(
        "main", IMAGE, ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=20; sleep 9999"]
    )
    wanted.linux.resources.CopyFrom(
        pb.LinuxContainerResources(cpu_shares=100, memory_limit_in_bytes=64 * MIB)
    )
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    cgroups = Hierarchy.detect()
    path = _cgroup(container, "below")
    eventually(
        lambda: cgroups.memory(path),
        lambda now: bool(now and now.working_set_bytes > 20 * MIB),
        "it uses 20 MiB",
    )
    before = cgroups.limits(path)
    for values, words in (
        ({"memory_limit_in_bytes": MIB}, f"linux.memory_limit_in_bytes {MIB} is below"),
        (
            {"memory_limit_in_bytes": 64 * MIB, "memory_swap_limit_in_bytes": MIB},
            "memory_swap_limit_in_bytes",
        ),
        ({"cpu_shares": 200, "cpuset_cpus": "0,4000"}, "cpuset.cpus = 0,4000"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            _update(client, container, **values)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert words in str(caught.value.details())
        assert cgroups.limits(path) == before
    linux = client.container(container).resources.linux
    assert (linux.cpu_shares, linux.memory_limit_in_bytes, linux.cpuset_cpus) == (100, 64 * MIB, "")
    client.stop_container(container)
    with pytest.raises(grpc.RpcError) as ended:
        _update(client, container, cpu_shares=200)
    assert ended.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    _end(client, pod, "below")


def test_a_pods_own_cgroup_follows_its_sums(client: Client, logs: Path) -> None:
    pod, config = _pod(client, logs, "sums")
    container = client.create_container(pod, container_config("main", IMAGE, FOREVER), config)
    request = pb.UpdatePodSandboxResourcesRequest(
        pod_sandbox_id=pod,
        resources=pb.LinuxContainerResources(
            cpu_quota=50000, cpu_period=100000, memory_limit_in_bytes=64 * MIB
        ),
        overhead=pb.LinuxContainerResources(memory_limit_in_bytes=8 * MIB),
    )
    client.runtime.UpdatePodSandboxResources(request, timeout=30)
    limits = Hierarchy.detect().limits(f"{CGROUP}/sums")
    assert (limits.memory_bytes, limits.cpu_quota_us) == (72 * MIB, 50000)
    client.start_container(container)
    client.stop_pod(pod)
    with pytest.raises(grpc.RpcError) as stopped:
        client.runtime.UpdatePodSandboxResources(request, timeout=30)
    assert stopped.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    _end(client, pod, "sums")


def test_statistics_of_pods(client: Client, logs: Path) -> None:
    pod, config = _pod(client, logs, "stats")
    config.labels["a"] = "b"
    host = client.run_pod(pod_config("stats-host", host_network=True))
    burn = ["sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 1000000"]
    container = client.create_container(pod, container_config("main", IMAGE, burn), config)
    client.start_container(container)
    one = pb.PodSandboxStatsRequest(pod_sandbox_id=pod)
    stats = eventually(
        lambda: client.runtime.PodSandboxStats(one, timeout=30).stats,
        lambda now: now.linux.cpu.usage_core_nano_seconds.value > 1_000_000,
        "it has used CPU time",
    )
    assert (stats.attributes.id, stats.attributes.metadata.name) == (pod, "stats")
    assert stats.linux.memory.working_set_bytes.value > 0
    assert stats.linux.process.process_count.value == 1
    assert stats.linux.network.default_interface.name == "eth0"
    assert stats.linux.network.default_interface.tx_bytes.value > 0
    assert [each.attributes.id for each in stats.linux.containers] == [container]

    listed = client.runtime.ListPodSandboxStats(pb.ListPodSandboxStatsRequest(), timeout=30).stats
    assert {each.attributes.id for each in listed} == {pod, host}
    assert all(each.HasField("linux") for each in listed)
    [of_host] = [each for each in listed if each.attributes.id == host]
    assert not of_host.linux.HasField("network")
    wanted = pb.PodSandboxStatsFilter(id=pod)
    pieces = client.runtime.StreamPodSandboxStats(pb.StreamPodSandboxStatsRequest(filter=wanted), timeout=30)
    assert [each.attributes.id for piece in pieces for each in piece.pod_sandbox_stats] == [pod]

    client.stop_pod(pod)
    listed = client.runtime.ListPodSandboxStats(pb.ListPodSandboxStatsRequest(), timeout=30).stats
    assert [each.attributes.id for each in listed] == [host]  # ready ones only
    stopped = client.runtime.PodSandboxStats(one, timeout=30).stats
    assert stopped.linux.cpu.usage_core_nano_seconds.value == 0
    client.remove_pod(host)
    _end(client, pod, "stats")
