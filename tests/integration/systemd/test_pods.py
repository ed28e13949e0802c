"""Pods whose cgroups systemd makes: limits that last, and nothing that stays."""

import json
import signal
import time

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness import processes
from tests.harness.client import Client, container_config, eventually, pod_config
from tests.harness.daemon import Daemon
from tests.harness.patience import patient
from tests.integration.cri.conftest import IMAGE
from tests.integration.systemd.conftest import CGROUPS, cgroups, properties, systemctl, units

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MIB = 1 << 20
FOREVER = ("sleep", "1000000")
SLICE = "podwrighttest-burstable-pod1.slice"
SLICE_PATH = f"/podwrighttest.slice/podwrighttest-burstable.slice/{SLICE}"
LIMITS = ("MemoryMax", "MemoryHigh", "MemorySwapMax", "CPUWeight", "CPUQuotaPerSecUSec", "AllowedCPUs")
HANDLERS = pytest.mark.parametrize("handler", ["crun", "runc"])


def start(
    client: Client, config: pb.PodSandboxConfig, handler: str, wanted: pb.ContainerConfig | None = None
) -> tuple[str, str]:
    """Run a pod with one container; their ids."""
    pod = client.run_pod(config, handler)
    container = client.create_container(pod, wanted or container_config("main", IMAGE, FOREVER), config)
    client.start_container(container)
    return pod, container


def limited() -> pb.ContainerConfig:
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.resources.CopyFrom(
        pb.LinuxContainerResources(
            cpu_shares=512,
            cpu_quota=50500,
            cpu_period=100000,
            memory_limit_in_bytes=64 * MIB,
            cpuset_cpus="0",
            unified={"memory.high": str(48 * MIB), "memory.oom.group": "1"},
        )
    )
    return wanted


def files(path: str) -> dict[str, str]:
    """What the kernel has."""
    names = ("memory.max", "memory.high", "memory.swap.max", "memory.oom.group", "cpu.max", "cpuset.cpus")
    return {name: (CGROUPS / path.lstrip("/") / name).read_text().strip() for name in names}


def cgroup_of(client: Client, container: str) -> str:
    request = pb.ContainerStatusRequest(container_id=container, verbose=True)
    answer = client.runtime.ContainerStatus(request, timeout=patient(30))
    return str(json.loads(answer.info["info"])["cgroupPath"])


def test_the_driver_is_reported(client: Client) -> None:
    answer = client.runtime.RuntimeConfig(pb.RuntimeConfigRequest(), timeout=patient(30))
    assert answer.linux.cgroup_driver == pb.SYSTEMD


@HANDLERS
@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("", "/podwright.slice"),
        ("/podwrighttest.slice", "/podwrighttest.slice"),
        (SLICE_PATH, SLICE_PATH),
    ],
)
def test_processes_are_in_scopes_below_the_slice(client: Client, handler: str, asked: str, path: str) -> None:
    config = pod_config("place", cgroup_parent=asked)
    config.linux.security_context.namespace_options.pid = pb.POD  # with a pause process
    pod, container = start(client, config, handler)
    scope = f"podwright-{container}.scope"
    assert cgroup_of(client, container) == f"{path}/{scope}"
    membership = processes.cgroup(client.pid_of(container))
    assert membership == f"0::{path}/{scope}\n"
    assert properties(scope, "Slice", "ActiveState") == {
        "Slice": path.rpartition("/")[2],
        "ActiveState": "active",
    }
    assert properties(f"podwright-{pod}.scope", "ActiveState") == {"ActiveState": "active"}
    client.remove_pod(pod)


@HANDLERS
def test_a_scope_is_stopped_before_the_daemon_when_the_machine_goes_down(
    client: Client, handler: str
) -> None:
    pod, container = start(client, pod_config("ordered"), handler)
    shown = properties(f"podwright-{container}.scope", "After", "DefaultDependencies", "TimeoutStopUSec")
    assert "podwright.service" in shown.pop("After").split()
    assert shown == {"DefaultDependencies": "yes", "TimeoutStopUSec": "30s"}
    client.remove_pod(pod)


@HANDLERS
@pytest.mark.parametrize("wanted_adj", [0, -500, 700])
def test_an_exec_is_as_likely_to_be_killed_for_memory_as_its_container(
    client: Client, handler: str, wanted_adj: int
) -> None:
    """Only with CAP_SYS_RESOURCE, as here, the monitor has a protection that could be passed on."""
    wanted = limited()
    wanted.linux.resources.oom_score_adj = wanted_adj
    pod, container = start(client, pod_config("killed"), handler, wanted)
    found = client.exec(container, "cat", "/proc/self/oom_score_adj", "/proc/1/oom_score_adj").stdout
    assert found.split() == [b"%d" % wanted_adj] * 2
    client.remove_pod(pod)


@HANDLERS
def test_limits_last(client: Client, handler: str) -> None:
    """Through a change of the unit's other properties and a daemon-reload, as created and as updated."""
    pod, container = start(client, pod_config("limits", cgroup_parent=SLICE_PATH), handler, limited())
    scope, path = f"podwright-{container}.scope", cgroup_of(client, container)
    created = files(path)
    assert created == {
        "memory.max": str(64 * MIB),
        "memory.high": str(48 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "50500 100000",
        "cpuset.cpus": "0",
    }
    assert properties(scope, *LIMITS) == {
        "MemoryMax": str(64 * MIB),
        "MemoryHigh": str(48 * MIB),
        "MemorySwapMax": "0",
        "CPUWeight": "59",
        "CPUQuotaPerSecUSec": "510ms",
        "AllowedCPUs": "0",
    }
    systemctl("daemon-reload")
    assert files(path) == created

    resources = pb.LinuxContainerResources(
        cpu_shares=1024,
        cpu_quota=70000,
        cpu_period=100000,
        memory_limit_in_bytes=96 * MIB,
        cpuset_cpus="0-1",
        unified={"memory.high": str(80 * MIB)},
    )
    client.runtime.UpdateContainerResources(
        pb.UpdateContainerResourcesRequest(container_id=container, linux=resources), timeout=patient(30)
    )
    updated = created | {
        "memory.max": str(96 * MIB),
        "memory.high": str(80 * MIB),
        "cpu.max": "70000 100000",
        "cpuset.cpus": "0-1",
    }
    assert files(path) == updated
    systemctl("daemon-reload")
    assert files(path) == updated
    systemctl("set-property", "--runtime", scope, "MemoryLow=1M", "CPUWeight=40")  # all are written again
    # The one that has no property that could be set of a scope that runs.
    assert files(path) == updated | {"memory.oom.group": "0"}
    client.remove_pod(pod)


@HANDLERS
def test_an_update_that_the_kernel_refuses_changes_nothing(client: Client, handler: str) -> None:
    pod, container = start(client, pod_config("refused", cgroup_parent=SLICE_PATH), handler, limited())
    scope, path = f"podwright-{container}.scope", cgroup_of(client, container)
    before = files(path), properties(scope, *LIMITS)
    resources = pb.LinuxContainerResources(cpu_shares=4, memory_limit_in_bytes=96 * MIB, cpuset_cpus="0,4000")
    with pytest.raises(grpc.RpcError) as caught:
        client.runtime.UpdateContainerResources(
            pb.UpdateContainerResourcesRequest(container_id=container, linux=resources), timeout=patient(30)
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "cpuset.cpus" in str(caught.value.details())
    assert (files(path), properties(scope, *LIMITS)) == before
    client.remove_pod(pod)


def test_a_pods_sums_last(client: Client) -> None:
    pod, _ = start(client, pod_config("sums", cgroup_parent=SLICE_PATH), "crun")
    request = pb.UpdatePodSandboxResourcesRequest(
        pod_sandbox_id=pod,
        resources=pb.LinuxContainerResources(
            cpu_quota=50000, cpu_period=100000, memory_limit_in_bytes=64 * MIB
        ),
        overhead=pb.LinuxContainerResources(memory_limit_in_bytes=8 * MIB),
    )
    client.runtime.UpdatePodSandboxResources(request, timeout=patient(30))
    assert files(SLICE_PATH)["memory.max"] == str(72 * MIB)
    assert properties(SLICE, "MemoryMax", "CPUQuotaPerSecUSec") == {
        "MemoryMax": str(72 * MIB),
        "CPUQuotaPerSecUSec": "500ms",
    }
    client.remove_pod(pod)


@pytest.mark.parametrize("asked", ["/kubepods/burstable/pod1", "a--b.slice", "/elsewhere/a-b.slice"])
def test_parents_that_are_no_slices_are_refused(client: Client, asked: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.run_pod(pod_config("parent", cgroup_parent=asked))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "linux.cgroup_parent" in str(caught.value.details())


@HANDLERS
@pytest.mark.parametrize("group", ["0", "1"])
def test_memory_kills_are_told_although_the_scope_goes(client: Client, handler: str, group: str) -> None:
    """Many, for systemd removes the cgroup while the counter is being read."""
    config = pod_config("oom", cgroup_parent=SLICE_PATH)
    pod = client.run_pod(config, handler)
    reasons = []
    for attempt in range(10):
        wanted = container_config(
            "hungry", IMAGE, ["sh", "-c", "x=x; while :; do x=$x$x; done"], attempt=attempt
        )
        wanted.linux.resources.CopyFrom(
            pb.LinuxContainerResources(memory_limit_in_bytes=16 * MIB, unified={"memory.oom.group": group})
        )
        container = client.create_container(pod, wanted, config)
        client.start_container(container)
        status = client.wait_exited(container)
        reasons.append((status.reason, status.exit_code))
        client.remove_container(container)
    assert reasons == [("OOMKilled", 137)] * 10
    client.remove_pod(pod)


@HANDLERS
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_pods_live_on_when_the_daemon_ends(
    daemon: Daemon, client: Client, handler: str, how: signal.Signals
) -> None:
    pod, container = start(client, pod_config("lives", cgroup_parent=SLICE_PATH), handler, limited())
    before = client.pid_of(container), files(cgroup_of(client, container)), units(), cgroups()
    daemon.restart(how)
    assert client.container(container).state == pb.CONTAINER_RUNNING
    assert (client.pid_of(container), files(cgroup_of(client, container)), units(), cgroups()) == before
    client.remove_pod(pod)


@HANDLERS
def test_what_was_being_made_when_the_daemon_was_killed_is_undone(
    daemon: Daemon, client: Client, handler: str
) -> None:
    before = units(), cgroups()
    config = pod_config("midway", cgroup_parent=SLICE_PATH)
    for delay_s in (0.02, 0.1, 0.3):
        pod = client.run_pod(config, handler)
        wanted = container_config("main", IMAGE, FOREVER)
        request = pb.CreateContainerRequest(pod_sandbox_id=pod, config=wanted, sandbox_config=config)
        creating = client.runtime.CreateContainer.future(request, timeout=patient(30))
        time.sleep(patient(delay_s))
        daemon.restart(signal.SIGKILL)
        creating.cancel()  # type: ignore[no-untyped-call]
        client.remove_pod(pod)
        eventually(lambda: (units(), cgroups()), lambda now: now == before, "all of it is gone")


def test_statistics_have_pressure(client: Client) -> None:
    pod, container = start(client, pod_config("stats", cgroup_parent=SLICE_PATH), "crun", limited())
    one = client.runtime.ContainerStats(
        pb.ContainerStatsRequest(container_id=container), timeout=patient(30)
    ).stats
    assert one.memory.working_set_bytes.value > 0
    assert one.cpu.usage_core_nano_seconds.value > 0
    for psi in (one.cpu.psi, one.memory.psi, one.io.psi):
        assert psi.HasField("Some")
        assert psi.HasField("Full")
    assert one.swap.swap_available_bytes.value == 0
    whole = client.runtime.PodSandboxStats(
        pb.PodSandboxStatsRequest(pod_sandbox_id=pod), timeout=patient(30)
    ).stats.linux
    assert whole.memory.working_set_bytes.value >= one.memory.working_set_bytes.value
    assert whole.process.process_count.value == 1
    for psi in (whole.cpu.psi, whole.memory.psi, whole.io.psi):
        assert psi.HasField("Some")
    client.remove_pod(pod)


def test_the_monitor_has_a_scope_of_its_own(daemon: Daemon) -> None:
    assert str(daemon.runroot) in _command_lines("podwright-monitor.scope")
    assert str(daemon.config) not in _command_lines("podwright-monitor.scope")


def _command_lines(scope: str) -> str:
    procs = (CGROUPS / "system.slice" / scope / "cgroup.procs").read_text().split()
    return " ".join(processes.command_line(pid) for pid in procs)
