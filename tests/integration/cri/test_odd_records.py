"""Records that cannot be read back after a restart: left out, told of, removable; everything else goes on."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import TIMEOUT_S, Client, container_config, eventually
from tests.harness.daemon import Daemon
from tests.harness.patience import patient
from tests.integration.cri.conftest import IMAGE, pod_config
from tests.unit.cri.odd_records import ODD, spoil

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FOREVER = ("sleep", "1000000")


@pytest.fixture(autouse=True)
def _remove_pods(client: Client, nothing_left: None) -> Iterator[None]:
    yield
    client.remove_all()


def _pod(client: Client, name: str, logs: Path) -> tuple[str, str]:
    config = pod_config(name, log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, FOREVER), config)
    client.start_container(container)
    return pod, container


def _served(client: Client) -> dict[str, set[str]]:
    """The ids that each way of listing gives."""
    runtime = client.runtime
    stats = runtime.ListContainerStats(pb.ListContainerStatsRequest(), timeout=TIMEOUT_S).stats
    pods = runtime.ListPodSandboxStats(pb.ListPodSandboxStatsRequest(), timeout=TIMEOUT_S).stats
    streamed = runtime.StreamContainers(pb.StreamContainersRequest(), timeout=TIMEOUT_S)
    return {
        "pods": {one.id for one in client.pods()},
        "containers": {one.id for one in client.containers()},
        "streamed": {one.id for message in streamed for one in message.containers},
        "container statistics": {one.attributes.id for one in stats},
        "pod statistics": {one.attributes.id for one in pods},
    }


@pytest.mark.parametrize("name", ODD)
def test_one_containers_record_is_its_own_trouble(
    daemon: Daemon, client: Client, logs: Path, name: str
) -> None:
    bad_pod, bad = _pod(client, "bad", logs)
    good_pod, good = _pod(client, "good", logs)
    daemon.stop()
    spoil(daemon.runroot / "records.sqlite", "container", bad, ODD[name])
    daemon.start()
    assert _served(client) == {
        "pods": {bad_pod, good_pod},
        "containers": {good},
        "streamed": {good},
        "container statistics": {good},
        "pod statistics": {bad_pod, good_pod},
    }
    assert client.exec(good, "echo", "on").stdout == b"on\n"
    assert daemon.told(f"container {bad[:12]} is left out")
    check = subprocess.run(
        daemon.command("check"), capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert f"records: container {bad} is left out" in check.stdout
    client.remove_container(bad)
    client.remove_container(bad)
    check = subprocess.run(
        daemon.command("check"), capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert bad not in check.stdout


@pytest.mark.parametrize("name", ODD)
def test_one_pods_record_is_its_own_trouble(daemon: Daemon, client: Client, logs: Path, name: str) -> None:
    bad, orphan = _pod(client, "bad", logs)
    good_pod, good = _pod(client, "good", logs)
    daemon.stop()
    spoil(daemon.runroot / "records.sqlite", "sandbox", bad, ODD[name])
    daemon.start()
    served = _served(client)
    assert served["pods"] == served["pod statistics"] == {good_pod}
    assert served["containers"] == {good, orphan}
    assert client.exec(good, "echo", "on").stdout == b"on\n"
    client.remove_container(orphan)
    client.stop_pod(bad)
    client.remove_pod(bad)
    eventually(lambda: _served(client)["containers"], lambda ids: ids == {good}, "the rest is served")
