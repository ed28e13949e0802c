"""The daemon is killed in the middle of making and removing pods; its next start finishes or undoes."""

import contextlib
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon
from tests.harness.processes import has_ended, mentioning
from tests.integration.cri.conftest import IMAGE, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

PODS = 12


def _start(client: Client, logs: Path, number: int) -> None:
    config = pod_config(f"midway-{number}", log_directory=logs / str(number))
    if number % 3 == 0:
        config.linux.security_context.namespace_options.pid = pb.POD
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    container = client.create_container(pod, wanted, config)
    client.start_container(container)


def _remove(client: Client, pod: str) -> None:
    client.stop_pod(pod)
    client.remove_pod(pod)


def _ignoring_loss(call: object, *arguments: object) -> None:
    with contextlib.suppress(grpc.RpcError):
        call(*arguments)  # type: ignore[operator]


@pytest.mark.parametrize("delay_ms", [5, 20, 60, 150, 400])
def test_killed_while_pods_are_made(daemon: Daemon, client: Client, logs: Path, delay_ms: int) -> None:
    before = take_counts(daemon)
    with ThreadPoolExecutor(PODS) as workers:
        calls = [workers.submit(_ignoring_loss, _start, client, logs, number) for number in range(PODS)]
        time.sleep(delay_ms / 1000)
        daemon.kill()
        for call in calls:
            call.result()
    daemon.start()
    for container in client.containers():
        assert container.state in (pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING)
    # What the kubelet asks again for can be made, whatever the first attempt left behind.
    for number in range(PODS):
        config = pod_config(f"midway-{number}", log_directory=logs / str(number))
        if number % 3 == 0:
            config.linux.security_context.namespace_options.pid = pb.POD
        assert client.pod(client.run_pod(config)).state == pb.SANDBOX_READY
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


@pytest.mark.parametrize("delay_ms", [5, 30, 100])
def test_killed_while_pods_are_removed(daemon: Daemon, client: Client, logs: Path, delay_ms: int) -> None:
    before = take_counts(daemon)
    for number in range(PODS):
        _start(client, logs, number)
    pods = [pod.id for pod in client.pods()]
    random.Random(delay_ms).shuffle(pods)
    with ThreadPoolExecutor(PODS) as workers:
        calls = [workers.submit(_ignoring_loss, _remove, client, pod) for pod in pods]
        time.sleep(delay_ms / 1000)
        daemon.kill()
        for call in calls:
            call.result()
    daemon.start()
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_a_container_outlives_daemon_and_monitor(daemon: Daemon, client: Client, logs: Path) -> None:
    """The keeper has its output for the next monitor."""
    before = take_counts(daemon)
    _start(client, logs, 1)
    (container,) = client.containers()
    _kill_all(daemon, "oci.monitor.main")
    daemon.start()
    status = client.container(container.id)
    assert (status.state, status.exit_code) == (pb.CONTAINER_RUNNING, 0)
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_daemon_monitor_and_keeper_killed_together(daemon: Daemon, client: Client, logs: Path) -> None:
    """Then nobody holds the output any more: the container is ended and says so, and nothing is left."""
    before = take_counts(daemon)
    _start(client, logs, 1)
    (container,) = client.containers()
    _kill_all(daemon, "oci.monitor.main", "podwright-keeper")
    daemon.start()
    status = client.container(container.id)
    assert (status.state, status.exit_code) == (pb.CONTAINER_EXITED, 255)
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


def _kill_all(daemon: Daemon, *others: str) -> None:
    """The daemon and one process of each of these names, one after the other as fast as can be."""
    pids = []
    for name in others:
        (pid,) = mentioning(name, str(daemon.runroot))
        pids.append(pid)
    daemon.kill()
    for pid in pids:
        _kill(pid)


def _kill(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    eventually(lambda: has_ended(pid), bool, f"process {pid} ends")
    os.close(descriptor)
