"""Verbs that meet on one object, over fakes: the second finds it whole or gone, and none brings it back."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from api.errors import FailedPrecondition, NotFound
from api.ids import ContainerId
from api.runtime.v1 import api_pb2 as pb
from cni.pod import PodNetwork
from cri import restore
from cri.containers.record import Phase
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import update as sandbox_update
from cri.sandboxes.record import Phase as SandboxPhase
from host.cgroup_limits import Limits
from oci.monitor.types import CreateContainer, Created, MonitorUnavailable
from oci.runtime import Runtime
from tests.crash.scenarios import Client
from tests.fakes.monitor import FakeMonitor
from tests.fakes.node import kernel, leftovers, started, world_of
from tests.harness.patience import patient


class Gate:
    """A call that waits until it is let through."""

    def __init__(self) -> None:
        self.entered, self.opened = asyncio.Event(), asyncio.Event()

    async def passage(self) -> None:
        self.entered.set()
        await asyncio.wait_for(self.opened.wait(), patient(60))


@asynccontextmanager
async def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    for owner, name, value in kernel(tmp_path):
        monkeypatch.setattr(owner, name, value)
    async with started(tmp_path) as node:
        yield Client(node, shared_pid=False)


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Of a node with one pod; in the end all can be removed, and nothing is left."""
    async with ready(tmp_path, monkeypatch) as asking:
        await asking.run_pod()
        yield asking
        await asking.remove_pod()
        assert leftovers(asking.node) == []


async def test_what_a_killed_creation_left_in_the_cgroup_ends_with_it(client: Client) -> None:
    """The runtime was killed before it wrote its state: only the cgroup tells of the process."""
    world = world_of(client.node)

    async def die_midway(spec: CreateContainer) -> Created:
        cgroup = json.loads((spec.bundle / "config.json").read_text())["linux"]["cgroupsPath"]
        world.make("cgroups", cgroup)
        world.make("processes", "a runtime's child", cgroup)
        raise MonitorUnavailable("the monitor went away before it answered")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(monitor(client), "create", die_midway)
        with pytest.raises(MonitorUnavailable) as caught:
            await client.create_container()
    assert not hasattr(caught.value, "__notes__") or "undo" not in str(caught.value.__notes__)
    assert world.names("processes") == world.names("cgroups") == []
    assert client.container() is None


def monitor(client: Client) -> FakeMonitor:
    return cast(FakeMonitor, client.node.monitor)


def slow_start(client: Client, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The runtime's start waits."""
    gate, start = Gate(), monitor(client).start

    async def slowly(container_id: object, runtime: Runtime, timeout_s: float = 60.0) -> None:
        await gate.passage()
        await start(container_id, runtime, timeout_s)  # type: ignore[arg-type]

    monkeypatch.setattr(monitor(client), "start", slowly)
    return gate


def slow_create(client: Client, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The runtime's create has made all, and does not come back."""
    gate, create = Gate(), monitor(client).create

    async def slowly(spec: CreateContainer) -> Created:
        created = await create(spec)
        await gate.passage()
        return created

    monkeypatch.setattr(monitor(client), "create", slowly)
    return gate


def slow_limits(client: Client, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The kernel takes its time to apply a limit."""
    gate = Gate()

    async def slowly(path: str, limits: Limits) -> None:
        await gate.passage()

    monkeypatch.setattr(client.node.cgroup_driver, "apply", slowly)
    return gate


async def until_it_waits(node: Node, verb: str, task: "asyncio.Task[None]") -> None:
    """The verb, which ``task`` has asked for in whatever way, has come behind another in a queue."""
    async with asyncio.timeout(patient(60)):
        while not any(_waits(operation, verb) for operation in node.operations.running()):
            assert not task.done(), f"{verb} did not wait"
            await asyncio.sleep(0.001)


def _waits(operation: Operation, verb: str) -> bool:
    return operation.verb == verb and any(step.name.startswith("wait for") for step in operation.steps)


@pytest.mark.parametrize("removal", ["remove_container", "remove_pod"])
async def test_a_removal_during_a_start_stays_one(
    client: Client, monkeypatch: pytest.MonkeyPatch, removal: str
) -> None:
    await client.create_container()
    gate = slow_start(client, monkeypatch)
    starting = asyncio.create_task(client.start_container())
    await gate.entered.wait()
    removing = asyncio.create_task(getattr(client, removal)())
    await until_it_waits(client.node, "RemoveContainer", removing)
    gate.opened.set()
    await removing
    with pytest.raises(FailedPrecondition, match="has ended"):
        await starting
    assert client.container() is None
    assert list(client.node.records.rows("container")) == []


async def test_a_stop_overtakes_a_start(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.create_container()
    gate = slow_start(client, monkeypatch)
    starting = asyncio.create_task(client.start_container())
    await gate.entered.wait()
    await client.stop_container()  # does not wait for the start
    gate.opened.set()
    with pytest.raises(FailedPrecondition, match="has ended"):
        await starting
    container = client.container()
    assert container is not None
    assert (container.phase, container.reason, container.exit_code) == (Phase.EXITED, "Error", 130)


@pytest.mark.parametrize("removal", ["remove_container", "remove_pod"])
async def test_an_update_that_takes_long_brings_no_container_back(
    client: Client, monkeypatch: pytest.MonkeyPatch, removal: str
) -> None:
    await client.create_container()
    gate = slow_limits(client, monkeypatch)
    updating = asyncio.create_task(client.update_container())
    await gate.entered.wait()
    removing = asyncio.create_task(getattr(client, removal)())
    await until_it_waits(client.node, "RemoveContainer", removing)
    gate.opened.set()
    await asyncio.gather(updating, removing)
    assert client.container() is None
    assert list(client.node.records.rows("container")) == []


async def test_an_update_of_the_pod_that_takes_long_brings_no_pod_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, pod = slow_limits(client, monkeypatch), client.pod()
    assert pod is not None
    resources = pb.LinuxContainerResources(memory_limit_in_bytes=1 << 30)
    request = pb.UpdatePodSandboxResourcesRequest(pod_sandbox_id=pod.id, resources=resources)
    updating = asyncio.create_task(sandbox_update.update_pod_sandbox_resources(client.node, request))
    await gate.entered.wait()
    removing = asyncio.create_task(client.remove_pod())
    await until_it_waits(client.node, "StopPodSandbox", removing)
    gate.opened.set()
    await asyncio.gather(updating, removing)
    assert client.pod() is None
    assert list(client.node.records.rows("sandbox")) == []


async def test_an_update_behind_a_removal_finds_nothing(client: Client) -> None:
    await client.create_container()
    container = client.container()
    assert container is not None
    async with container.queue.turn(Operation("RemoveContainer", container.id)):
        updating = asyncio.create_task(client.update_container())
        await until_it_waits(client.node, "UpdateContainerResources", updating)
        client.node.containers.discard(container)
    with pytest.raises(NotFound, match="was removed meanwhile"):
        await updating
    client.node.containers.add(container)


@pytest.mark.parametrize("verb", ["stop_pod", "remove_pod"])
async def test_no_container_is_created_in_a_pod_that_is_stopped_meanwhile(
    client: Client, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    gate = slow_create(client, monkeypatch)
    creating = asyncio.create_task(client.create_container())
    await gate.entered.wait()
    ending = asyncio.create_task(getattr(client, verb)())
    if verb == "remove_pod":
        await until_it_waits(client.node, "RemoveContainer", ending)
    else:
        await ending  # a stop overtakes
    gate.opened.set()
    await ending
    with pytest.raises(FailedPrecondition, match="containers need a ready one"):
        await creating
    assert client.container() is None
    assert list(client.node.records.rows("container")) == []


async def test_a_process_that_ends_during_the_creation_is_an_exited_container(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = slow_create(client, monkeypatch)
    creating = asyncio.create_task(client.create_container())
    await gate.entered.wait()
    container = client.container()
    assert container is not None
    monitor(client).end(container.id, 128 + signal.SIGKILL)
    while container.early_exit is None:
        await asyncio.sleep(0)
    gate.opened.set()
    await creating
    assert (container.phase, container.exit_code, container.reason) == (Phase.EXITED, 137, "Error")
    with pytest.raises(FailedPrecondition, match="is exited: only a created one can be started"):
        await client.start_container()


async def test_a_pod_whose_pause_process_ends_at_once_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(tmp_path, monkeypatch) as asking:
        client = Client(asking.node, shared_pid=True)
        start = monitor(client).start

        async def start_and_end(container_id: object, runtime: Runtime, timeout_s: float = 60.0) -> None:
            await start(container_id, runtime, timeout_s)  # type: ignore[arg-type]
            monitor(client).end(container_id, 1)  # type: ignore[arg-type]
            await asyncio.sleep(0.01)

        monkeypatch.setattr(monitor(client), "start", start_and_end)
        with pytest.raises(FailedPrecondition, match=r"pause process of sandbox .* ended"):
            await client.run_pod()
        assert client.pod() is None
        assert leftovers(client.node) == []


async def test_stopping_is_on_record_before_the_first_container_is_ended(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.create_container()
    await client.start_container()
    seen, kill = list[str](), monitor(client).signal

    async def looking(container_id: object, signo: int) -> None:
        seen.extend(row.state for row in client.node.records.rows("sandbox"))
        await kill(container_id, signo)  # type: ignore[arg-type]

    monkeypatch.setattr(monitor(client), "signal", looking)
    await client.stop_pod()
    assert '"phase": "stopping"' in seen[0]
    pod = client.pod()
    assert pod is not None
    assert pod.phase is SandboxPhase.STOPPED


@pytest.mark.parametrize(
    ("verb", "there"), [("create_container", True), ("remove_container", False), ("remove_pod", False)]
)
async def test_verbs_wait_for_the_undo_of_a_container_that_a_crash_left_half_made(
    client: Client, monkeypatch: pytest.MonkeyPatch, verb: str, there: bool
) -> None:
    await client.create_container()
    left = client.container()
    assert left is not None
    left.phase = Phase.CREATING  # as the next daemon finds it
    gate, remove = Gate(), client.node.rootfs.remove

    async def slowly(identifier: ContainerId) -> None:
        await gate.passage()
        await remove(identifier)

    monkeypatch.setattr(client.node.rootfs, "remove", slowly)
    works = restore._undo_unfinished(client.node)
    await client.node.background.first_tries(works, patience_s=0.01)
    await gate.entered.wait()
    asking = asyncio.create_task(getattr(client, verb)())
    if there:
        await asyncio.sleep(0)  # it joins the undo
    else:
        await until_it_waits(client.node, "RemoveContainer", asking)
    gate.opened.set()
    await asking
    assert not client.node.containers.holds(left)
    assert (client.container() is not None) is there


async def test_a_pod_is_made_anew_behind_the_undo_of_one_that_a_crash_left_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(tmp_path, monkeypatch) as client:
        await client.run_pod()
        left = client.pod()
        assert left is not None
        left.phase = SandboxPhase.CREATING
        gate, detach = Gate(), client.node.network.detach

        async def slowly(pod: PodNetwork) -> None:
            await gate.passage()
            await detach(pod)

        monkeypatch.setattr(client.node.network, "detach", slowly)
        works = restore._undo_unfinished(client.node)
        await client.node.background.first_tries(works, patience_s=0.01)
        await gate.entered.wait()
        running = asyncio.create_task(client.run_pod())
        await until_it_waits(client.node, "RunPodSandbox", running)
        gate.opened.set()
        await running
        pod = client.pod()
        assert pod is not None
        assert (pod.phase, pod.id != left.id) == (SandboxPhase.READY, True)
        await client.remove_pod()
        assert leftovers(client.node) == []
