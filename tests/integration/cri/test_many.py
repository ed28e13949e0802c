"""A hundred pods, ten at a time, and nothing left of them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon
from tests.integration.cri.conftest import IMAGE, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

PODS = 100
AT_ONCE = 10


def _start(client: Client, logs: Path, number: int) -> str:
    config = pod_config(f"many-{number}", log_directory=logs / str(number))
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, ["sleep", "1000000"]), config)
    client.start_container(container)
    assert client.container(container).state == pb.CONTAINER_RUNNING
    return pod


def _end(client: Client, pod: str) -> None:
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_a_hundred_pods_come_and_go(daemon: Daemon, client: Client, logs: Path) -> None:
    _end(client, _start(client, logs, PODS))  # the bridge, the tables and the caches are there from now on
    before = take_counts(daemon)
    with ThreadPoolExecutor(AT_ONCE) as workers:
        pods = list(workers.map(lambda number: _start(client, logs, number), range(PODS)))
        assert len({client.pod(pod).network.ip for pod in pods}) == PODS
        list(workers.map(lambda pod: _end(client, pod), pods))
    assert left_over(before, daemon) == [], daemon.log_tail()
    assert client.pods() == []
    assert client.containers() == []
