"""The daemon is killed under running pods: they live on, and nothing that happened meanwhile is lost."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.paths import Paths
from host.mounts import umount
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon
from tests.integration.cri.conftest import IMAGE, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

PODS = 20
COUNT = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done"
END_ON_SIGN = "until [ -e /sign/end ]; do sleep 0.02; done; exit 7"


def _start(client: Client, logs: Path, name: str, script: str, *mounts: pb.Mount) -> tuple[str, str]:
    config = pod_config(name, log_directory=logs / name)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ["sh", "-c", script])
    wanted.mounts.extend(mounts)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    return pod, container


def _numbers(log: Path) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in log.read_text().splitlines()]


def test_twenty_pods_outlive_a_killed_daemon(
    daemon: Daemon, client: Client, logs: Path, tmp_path: Path
) -> None:
    before = take_counts(daemon)
    sign = tmp_path / "sign"
    sign.mkdir()
    counting = [_start(client, logs, f"crash-{number}", COUNT) for number in range(PODS - 1)]
    mount = pb.Mount(container_path="/sign", host_path=str(sign))
    _, ending = _start(client, logs, "crash-ending", END_ON_SIGN, mount)
    containers = [container for _, container in counting]
    paths = [Path(client.container(container).log_path) for container in containers]
    for path in paths:
        eventually(lambda path=path: len(_numbers(path)), lambda count: count > 3, f"{path} grows")  # type: ignore[misc]
    pids = {container: _pid(client, container) for container in containers}

    daemon.kill()
    killed_at = [len(_numbers(path)) for path in paths]
    (sign / "end").touch()
    time.sleep(1)  # life without a daemon
    daemon.start()

    assert len(client.pods()) == PODS
    assert all(pod.state == pb.SANDBOX_READY for pod in client.pods())
    for container in containers:
        assert client.container(container).state == pb.CONTAINER_RUNNING
        assert _pid(client, container) == pids[container]
        assert client.exec(container, "echo", "alive").stdout == b"alive\n"
    ended = eventually(
        lambda: client.container(ending), lambda seen: seen.state == pb.CONTAINER_EXITED, "it saw its sign"
    )
    assert (ended.state, ended.exit_code, ended.reason) == (pb.CONTAINER_EXITED, 7, "Error")
    assert ended.finished_at > ended.started_at

    for container in containers:
        client.stop_container(container)
    for path, count in zip(paths, killed_at, strict=True):
        numbers = _numbers(path)
        assert numbers == list(range(len(numbers))), f"{path} has a gap or a repeat"
        assert len(numbers) > count, f"{path} did not grow while the daemon was away"
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


def _pid(client: Client, container: str) -> int:
    request = pb.ContainerStatusRequest(container_id=container, verbose=True)
    info = client.runtime.ContainerStatus(request, timeout=10).info
    return int(json.loads(info["info"])["pid"])


def test_ten_pods_outlive_a_killed_monitor(
    daemon: Daemon, client: Client, logs: Path, tmp_path: Path
) -> None:
    """The daemon holds every descriptor too: another monitor gets them, no line or exit code is lost."""
    before = take_counts(daemon)
    sign = tmp_path / "sign"
    sign.mkdir()
    containers = [_start(client, logs, f"monitor-{number}", COUNT)[1] for number in range(10)]
    mount = pb.Mount(container_path="/sign", host_path=str(sign))
    _, ending = _start(client, logs, "monitor-ending", END_ON_SIGN, mount)
    paths = [Path(client.container(container).log_path) for container in containers]
    pids = {container: _pid(client, container) for container in containers}

    _kill_monitor(daemon)
    (sign / "end").touch()
    ended = client.wait_exited(ending)
    assert (ended.exit_code, ended.reason) == (7, "Error")
    for container, path in zip(containers, paths, strict=True):
        written = len(_numbers(path))
        eventually(lambda path=path: len(_numbers(path)), lambda count, n=written: count > n, f"{path} grows")  # type: ignore[misc]
        assert _pid(client, container) == pids[container]
        assert client.exec(container, "echo", "alive").stdout == b"alive\n"
        client.stop_container(container)
        numbers = _numbers(path)
        assert numbers == list(range(len(numbers))), f"{path} has a gap or a repeat"
    client.remove_all()
    left = [line for line in left_over(before, daemon) if "oci.monitor" not in line]
    assert left == [], daemon.log_tail()


def _kill_monitor(daemon: Daemon) -> None:
    lines = [line for line in take_counts(daemon).kinds["process"] if "oci.monitor" in line]
    (monitor,) = [line for line in lines if str(daemon.runroot) in line]
    descriptor = os.pidfd_open(int(monitor.split()[0]))
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    os.close(descriptor)


def test_a_pod_whose_namespaces_are_gone_is_not_ready_after_a_restart(
    daemon: Daemon, client: Client, logs: Path
) -> None:
    before = take_counts(daemon)
    gone, whole = (client.run_pod(pod_config(name, log_directory=logs)) for name in ("gone", "whole"))
    daemon.kill()
    pinned = Paths(daemon.runroot).namespaces(SandboxId(gone)) / "net"
    umount(pinned)
    daemon.start()
    states = {pod.id: pod.state for pod in client.pods()}
    assert states == {gone: pb.SANDBOX_NOTREADY, whole: pb.SANDBOX_READY}
    assert daemon.told("pod is not ready, its namespaces are gone: net")
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()
