"""The kubelet repeats what it got no answer to; repeats find the same object."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config, eventually
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def test_the_same_sandbox_asked_for_at_once_is_made_once(client: Client, logs: Path) -> None:
    config = pod_config("same", log_directory=logs)
    with ThreadPoolExecutor(5) as workers:
        pods = set(workers.map(lambda _: client.run_pod(config), range(5)))
    assert len(pods) == 1
    assert client.run_pod(config) in pods  # and after it is ready
    client.remove_pod(pods.pop())


def test_a_client_that_gave_up_finds_its_sandbox(client: Client, logs: Path) -> None:
    config = pod_config("given-up", log_directory=logs)
    request = pb.RunPodSandboxRequest(config=config)
    with pytest.raises(grpc.RpcError) as late:
        client.runtime.RunPodSandbox(request, timeout=0.002)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    pod = client.run_pod(config)
    assert [item.id for item in client.pods()] == [pod]
    client.remove_pod(pod)


def test_the_same_container_asked_for_again_is_the_same(client: Client, logs: Path) -> None:
    config = pod_config("again", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    with ThreadPoolExecutor(5) as workers:
        made = set(workers.map(lambda _: client.create_container(pod, wanted, config), range(5)))
    assert len(made) == 1
    container = made.pop()
    client.start_container(container)
    with pytest.raises(grpc.RpcError) as exists:
        client.create_container(pod, wanted, config)
    assert exists.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert container[:12] in str(exists.value.details())
    client.remove_pod(pod)


def test_a_later_stop_may_shorten_the_grace_period(client: Client, logs: Path) -> None:
    config = pod_config("hurry", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    with ThreadPoolExecutor(1) as workers:
        patient = workers.submit(client.stop_container, container, 600)
        eventually(lambda: patient.running(), bool, "the patient stop runs")
        assert client.container(container).state == pb.CONTAINER_RUNNING  # status does not wait for it
        client.stop_container(container, 0)
        patient.result(timeout=60)
    assert client.container(container).exit_code == 137
    client.remove_pod(pod)


def test_ids_may_be_shortened(client: Client, logs: Path) -> None:
    config = pod_config("short", log_directory=logs)
    pod = client.run_pod(config)
    assert client.pod(pod[:10]).id == pod
    listed = client.runtime.ListPodSandbox(pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(id=pod[:10])))
    assert [item.id for item in listed.items] == [pod]
    client.remove_pod(pod[:10])
