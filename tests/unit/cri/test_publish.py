"""A pod's life as the evented PLEG hears it, over the daemon's own verbs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.node import Node
from cri.server import STREAMING, UNARY
from tests.fakes.node import kernel, started
from tests.harness.client import container_config, pod_config
from tests.unit.cri.made import IMAGE

CREATED, STARTED, STOPPED, DELETED = (
    pb.CONTAINER_CREATED_EVENT,
    pb.CONTAINER_STARTED_EVENT,
    pb.CONTAINER_STOPPED_EVENT,
    pb.CONTAINER_DELETED_EVENT,
)


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    for target, name, value in kernel(tmp_path):
        monkeypatch.setattr(target, name, value)
    async with started(tmp_path) as node:
        node.config = replace(node.config, runtime=replace(node.config.runtime, enable_pod_events=True))
        yield node


async def ask(node: Node, pod: str) -> pb.PodSandboxStatusResponse:
    answer = await UNARY["PodSandboxStatus"](node, pb.PodSandboxStatusRequest(pod_sandbox_id=pod))
    assert isinstance(answer, pb.PodSandboxStatusResponse)
    return answer


class Listener:
    """Hears everything from now on."""

    def __init__(self, node: Node) -> None:
        self.heard: list[pb.ContainerEventResponse] = []
        self._task = asyncio.ensure_future(self._listen(node))

    async def _listen(self, node: Node) -> None:
        async for event in STREAMING["GetContainerEvents"](node, pb.GetEventsRequest()):
            assert isinstance(event, pb.ContainerEventResponse)
            self.heard.append(event)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def listener(node: Node) -> AsyncIterator[Listener]:
    listener = Listener(node)
    await asyncio.sleep(0)
    yield listener
    await listener.end()


async def live(node: Node, attempt: int = 0, name: str = "web") -> tuple[str, str]:
    """Run a pod with one container; its ids."""
    config = pod_config(name)
    config.metadata.attempt = attempt
    pod = await UNARY["RunPodSandbox"](node, pb.RunPodSandboxRequest(config=config))
    assert isinstance(pod, pb.RunPodSandboxResponse)
    request = pb.CreateContainerRequest(
        pod_sandbox_id=pod.pod_sandbox_id,
        config=container_config("main", IMAGE.id, attempt=attempt),
        sandbox_config=config,
    )
    made = await UNARY["CreateContainer"](node, request)
    assert isinstance(made, pb.CreateContainerResponse)
    await UNARY["StartContainer"](node, pb.StartContainerRequest(container_id=made.container_id))
    return pod.pod_sandbox_id, made.container_id


async def test_the_life_of_a_pod(node: Node, listener: Listener) -> None:
    pod, container = await live(node)
    await UNARY["StopPodSandbox"](node, pb.StopPodSandboxRequest(pod_sandbox_id=pod))
    await UNARY["RemovePodSandbox"](node, pb.RemovePodSandboxRequest(pod_sandbox_id=pod))
    await asyncio.sleep(0)
    told = [(one.container_id, one.container_event_type) for one in listener.heard]
    assert told == [
        (pod, CREATED),
        (pod, STARTED),
        (container, CREATED),
        (container, STARTED),
        (container, STOPPED),
        (pod, STOPPED),
        (container, DELETED),
        (pod, DELETED),
    ]
    times = [one.created_at for one in listener.heard]
    assert times == sorted(set(times))
    for one in listener.heard:  # without these the kubelet ignores an event
        assert one.pod_sandbox_status.id == pod
        assert one.pod_sandbox_status.metadata.uid == "uid-web"
    states = [[each.state for each in one.containers_statuses] for one in listener.heard]
    ended, running = [pb.CONTAINER_EXITED], [pb.CONTAINER_RUNNING]
    assert states == [[], [], [pb.CONTAINER_CREATED], running, ended, ended, [], []]
    assert listener.heard[5].pod_sandbox_status.state == pb.SANDBOX_NOTREADY


async def test_the_status_has_all_containers_of_the_pod_and_the_time(node: Node) -> None:
    first, old = await live(node)
    await UNARY["StopPodSandbox"](node, pb.StopPodSandboxRequest(pod_sandbox_id=first))
    second, new = await live(node, attempt=1)
    found = await ask(node, second)
    assert [one.id for one in found.containers_statuses] == [old, new]
    later = await ask(node, second)
    assert later.timestamp > found.timestamp > 0


async def test_without_events_the_kubelet_asks_by_itself(node: Node) -> None:
    node.config = replace(node.config, runtime=replace(node.config.runtime, enable_pod_events=False))
    pod, _ = await live(node)
    found = await ask(node, pod)
    assert (list(found.containers_statuses), found.timestamp) == ([], 0)
    listener = Listener(node)
    await asyncio.wait({listener._task})
    assert listener.heard == []
