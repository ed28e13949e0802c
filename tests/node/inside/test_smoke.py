"""The short form: one pod on a fresh node, from installation to removal."""

import json
import signal
import subprocess
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from tests.harness import processes
from tests.harness.client import Client, eventually
from tests.harness.counts import Counts
from tests.harness.patience import patient
from tests.harness.reach import NOBODY, reachable, readable_of_process
from tests.node.inside.pods import IMAGE, LOGS, Pods, gaps
from tests.node.inside.service import Unit, run, units

MIB, GIB = 1 << 20, 1 << 30
OVERCOMMIT = "/proc/sys/vm/overcommit_memory"
# Writes what is there already, so that nothing is changed by a success.
WRITE = f"read -r now <{OVERCOMMIT}; echo $now >{OVERCOMMIT} && echo written; sleep 100000"


def test_the_service_is_ready_when_systemd_has_started_it(service: Unit, client: Client) -> None:
    assert (service["ActiveState"], service["Type"]) == ("active", "notify")
    assert client.not_ready() == ""


def test_check_finds_a_node_that_pods_can_run_on() -> None:
    assert "Pods can run on this host." in run("podwright", "check")


def test_the_kubelet_is_told_to_use_the_systemd_driver(client: Client) -> None:
    answer = client.runtime.RuntimeConfig(pb.RuntimeConfigRequest(), timeout=patient(10))
    assert answer.linux.cgroup_driver == pb.SYSTEMD


def test_crictl_runs_a_pod_in_a_scope_of_systemd_and_removes_it(tmp_path: Path) -> None:
    run("crictl", "pull", IMAGE)
    before, known = Counts.take(), units()
    pod_file, container_file = tmp_path / "pod.json", tmp_path / "container.json"
    parent = "kubepods-burstable-podsmoke.slice"
    pod_file.write_text(
        json.dumps(
            {
                "metadata": {"name": "smoke", "uid": "smoke", "namespace": "default"},
                "log_directory": str(LOGS / "smoke"),
                "linux": {"cgroup_parent": parent},
            }
        )
    )
    container_file.write_text(
        json.dumps(
            {
                "metadata": {"name": "main"},
                "image": {"image": IMAGE},
                "command": ["sleep", "100000"],
                "linux": {"resources": {"memory_limit_in_bytes": 64 * MIB}},
            }
        )
    )
    pod = run("crictl", "runp", str(pod_file)).strip()
    container = run("crictl", "create", pod, str(container_file), str(pod_file)).strip()
    run("crictl", "start", container)
    scope = Unit(f"podwright-{container}.scope")
    group = f"/kubepods.slice/kubepods-burstable.slice/{parent}/{scope.name}"
    assert (scope["ActiveState"], scope["Slice"], scope["ControlGroup"]) == ("active", parent, group)
    assert scope["MemoryMax"] == str(64 * MIB)
    assert run("crictl", "exec", container, "sh", "-c", "echo hello").strip() == "hello"
    run("crictl", "stopp", pod)
    run("crictl", "rmp", pod)
    # Slices under kubepods are the kubelet's to remove; here there is none.
    made = {name for name in units() - known if not name.startswith("kubepods")}
    assert made <= {"podwright-monitor.scope"}
    assert leftovers(before) == []


def leftovers(before: Counts) -> list[str]:
    """What a removed pod may not leave: all but the first pod's bridge and tables, and the monitor."""
    kinds = ("mount:", "network namespace:", "cgroup:")
    return [
        line
        for line in before.left_over(Counts.take())
        if line.startswith(kinds) and "podwright-monitor.scope" not in line and "kubepods" not in line
    ]


def test_a_restart_of_the_service_ends_no_container_and_loses_no_line(service: Unit, pods: Pods) -> None:
    pod = pods.run("counting")
    pod.goes_on()
    started, pid, daemon = pod.status.started_at, pod.pid, service.pid
    service.do("restart")
    pod.goes_on()
    assert service.pid != daemon
    assert (pod.status.state, pod.status.started_at, pod.pid) == (pb.CONTAINER_RUNNING, started, pid)
    assert gaps(pod.lines()) == []


def test_a_daemon_that_crashes_is_started_again_by_systemd_and_keeps_its_containers(
    service: Unit, client: Client, pods: Pods
) -> None:
    pod = pods.run("crash")
    pod.goes_on()
    daemon, pid = service.pid, pod.pid
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(daemon)], check=True, timeout=patient(10))
    eventually(
        lambda: (service.pid, service["ActiveState"]),
        lambda seen: seen[0] not in (0, daemon) and seen[1] == "active",
        "the service is active again",
        patient(60),
    )
    pod.goes_on()
    assert (pod.pid, gaps(pod.lines())) == (pid, [])


def test_state_is_for_root_alone(service: Unit, pods: Pods) -> None:
    pods.run("walked").reaches(1)
    monitor = Unit("podwright-monitor.scope")
    scope = Path(f"/sys/fs/cgroup{monitor['ControlGroup']}/cgroup.procs").read_text().split()
    assert len(scope) >= 2  # the monitor and a log writer
    for pid in (service.pid, *map(int, scope)):
        assert readable_of_process(pid, NOBODY) == []
        assert processes.status(pid)["Umask"] == "0077"
    tops = ("/run/podwright", "/var/lib/podwright", "/var/log/podwright", "/var/lib/cni/networks")
    assert reachable(map(Path, tops), NOBODY) == []


def test_the_daemons_memory_is_bounded_and_nobody_elses_by_that(service: Unit, pods: Pods) -> None:
    pod = pods.run("bounded")
    assert (service["UMask"], service["MemoryHigh"], service["MemoryMax"]) == (
        "0077",
        f"{2 * GIB}",
        f"{3 * GIB}",
    )
    for unit in ("podwright-monitor.scope", f"podwright-{pod.container}.scope"):
        assert Unit(unit)["MemoryMax"] == "infinity"
        assert service.name not in Unit(unit)["ControlGroup"]


def test_a_container_is_held_by_the_default_apparmor_profile(pods: Pods) -> None:
    # Without paths that are read-only for all, AppArmor alone is between the container and the setting.
    open_paths = pb.LinuxContainerSecurityContext(masked_paths=["/none"], readonly_paths=["/none"])
    held = pods.run("held", ["sh", "-c", WRITE], security=open_paths)
    assert processes.read(held.pid, "attr/current").strip() == "podwright-default (enforce)"
    open_paths.apparmor.profile_type = pb.SecurityProfile.Unconfined
    free = pods.run("free", ["sh", "-c", WRITE], security=open_paths)
    # Debian gives its runtimes profiles of their own, which forbid nothing: "crun (unconfined)".
    assert "unconfined" in processes.read(free.pid, "attr/current")
    free.reaches(1)
    held.reaches(1)
    assert free.lines() == ["written"]
    assert [line for line in held.lines() if "Permission denied" in line], held.lines()
    assert "written" not in held.lines()
