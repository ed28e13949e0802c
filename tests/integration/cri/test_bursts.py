"""Bursts of requests over kills of the monitor: the daemon keeps no thread and no descriptor of them."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.chaos.place import processes
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon
from tests.harness.processes import descriptor_count, status
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = pytest.mark.root

KILLS = 6
AT_ONCE = 20
# Spare threads of the pools for calls that may hang.
SPARE = 4


def kill_monitor(daemon: Daemon) -> None:
    for pid, line in processes():
        if "oci.monitor.main" in line and str(daemon.runroot) in line:
            os.kill(pid, signal.SIGKILL)


def live_and_die(client: Client, name: str) -> None:
    """A pod with a container, from the request to the removal."""
    config = pod_config(name)
    pod = client.run_pod(config)
    client.create_container(pod, container_config("main", IMAGE, ["true"]), config)
    client.remove_pod(pod)


def holds(pid: int) -> tuple[int, int]:
    """Threads and descriptors."""
    return int(status(pid)["Threads"]), descriptor_count(pid)


def test_a_burst_over_a_kill_of_the_monitor_leaves_no_thread_and_no_descriptor(
    daemon: Daemon, client: Client, logs: Path
) -> None:
    names = (f"burst-{number}" for number in count())
    config = pod_config("stays", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, ["sleep", "3600"]), config)
    client.start_container(container)
    threads, descriptors = holds(daemon.pid)
    for _ in range(KILLS):
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            calls = [crowd.submit(live_and_die, client, next(names)) for _ in range(AT_ONCE)]
            kill_monitor(daemon)
        # A create whose monitor died says so, and its pod stays.
        assert any(call.exception() is None for call in calls), [call.exception() for call in calls]
        for other in client.pods():
            if other.id != pod:
                client.remove_pod(other.id)
        assert client.exec(container, "true").exit_code == 0
    eventually(
        lambda: holds(daemon.pid),
        lambda now: now[0] <= threads + SPARE and now[1] <= descriptors,
        f"it holds no more than {threads} threads and {descriptors} descriptors",
    )
    client.remove_pod(pod)
