"""What CreateContainer asks of a request before anything is made, and where it waits for volumes."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.cgroups.ahead import MovesAhead
from cri.containers import bundle, create
from cri.containers.create import PodNotPrivileged, require_privileged
from cri.containers.mounts import BadMount
from cri.operations import Operation
from cri.paths import Paths
from cri.sandboxes.record import Phase as SandboxPhase
from cri.sandboxes.record import Sandbox, SandboxNotReady
from host.threads import DetachedThreads
from tests.harness.patience import patient
from tests.unit.cri.made import IMAGE, TARGET


def _pod(privileged: bool) -> pb.PodSandboxConfig:
    context = pb.LinuxSandboxSecurityContext(privileged=privileged)
    return pb.PodSandboxConfig(linux=pb.LinuxPodSandboxConfig(security_context=context))


def _container(privileged: bool) -> pb.ContainerConfig:
    context = pb.LinuxContainerSecurityContext(privileged=privileged)
    return pb.ContainerConfig(linux=pb.LinuxContainerConfig(security_context=context))


def test_a_privileged_container_needs_a_pod_that_may_have_one() -> None:
    with pytest.raises(PodNotPrivileged, match="privileged is true, but that of the sandbox is false"):
        require_privileged(_container(True), _pod(False), _pod(False))
    require_privileged(_container(False), _pod(False), _pod(False))


@pytest.mark.parametrize("now", [False, True])
def test_the_pod_says_so_when_it_is_made_or_when_an_ephemeral_container_comes(now: bool) -> None:
    require_privileged(_container(True), _pod(now), _pod(not now))


def _ready_sandbox() -> Sandbox:
    return Sandbox(TARGET.sandbox_id, "pod", pb.PodSandboxConfig(), "", 1, SandboxPhase.READY)


async def test_the_stop_of_the_sandbox_does_not_wait_for_a_volume_that_hangs() -> None:
    sandbox, left = _ready_sandbox(), asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    creating = asyncio.create_task(create._while_ready(sandbox, hang()))
    await asyncio.sleep(0)
    sandbox.phase = SandboxPhase.STOPPING
    sandbox.ended.set()
    with pytest.raises(SandboxNotReady, match="is stopping: containers need a ready one"):
        await asyncio.wait_for(creating, patient(60))
    await asyncio.wait_for(left.wait(), patient(60))


async def test_what_is_done_in_time_is_not_lost_to_a_stop() -> None:
    sandbox = _ready_sandbox()
    sandbox.ended.set()
    assert await create._while_ready(sandbox, asyncio.sleep(0, "done")) == "done"


async def test_a_volume_that_hangs_does_not_hold_up_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = threading.Semaphore(0), threading.Event()

    def write(*_: object) -> None:
        begun.release()
        let_go.wait()
        raise BadMount("the server of the volume is gone")

    async def prepare(*_: object) -> Path:
        return Path("/rootfs")

    monkeypatch.setattr(bundle, "write", write)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    node = cast(Any, SimpleNamespace(rootfs=SimpleNamespace(prepare=prepare), moves=MovesAhead()))
    node.volume_threads = DetachedThreads("volumes", 2)
    container, sandbox = replace(TARGET, log_path=None), _ready_sandbox()
    creating = [
        asyncio.create_task(create._make(node, Operation("test", name), container, sandbox, IMAGE, {}))
        for name in ("one", "two")
    ]
    try:
        await asyncio.wait_for(asyncio.to_thread(lambda: (begun.acquire(), begun.acquire())), patient(60))
    finally:
        let_go.set()
    for one in creating:
        with pytest.raises(BadMount):
            await one


async def test_what_a_volume_that_hung_lets_be_made_after_the_undo_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, let_go, back = threading.Event(), threading.Event(), threading.Event()
    paths = Paths(tmp_path / "run", reachable=tmp_path / "userns")
    bundle_directory, reachable = paths.container(TARGET.id), paths.reachable / TARGET.id

    def write(*_: object) -> None:
        begun.set()
        let_go.wait()
        (reachable / "rootfs").mkdir(parents=True)
        bundle_directory.mkdir(parents=True)
        (bundle_directory / "config.json").touch()

    async def prepare(*_: object) -> Path:
        return Path("/rootfs")

    monkeypatch.setattr(bundle, "write", write)
    node = cast(
        Any, SimpleNamespace(rootfs=SimpleNamespace(prepare=prepare), moves=MovesAhead(), paths=paths)
    )
    node.volume_threads = DetachedThreads("volumes", 1)
    sandbox = _ready_sandbox()
    making = asyncio.create_task(create._make_bundle(node, Operation("test", ""), TARGET, sandbox, IMAGE, {}))
    await asyncio.to_thread(begun.wait)
    sandbox.phase = SandboxPhase.STOPPING
    sandbox.ended.set()
    with pytest.raises(SandboxNotReady):
        await making
    let_go.set()
    await node.volume_threads.run(back.set)  # the only turn: the other call is over
    assert back.is_set()
    assert not bundle_directory.exists()
    assert not reachable.exists()


@pytest.mark.parametrize(
    ("log_path", "place"),
    [("main/0.log", "main/0.log"), ("/abs.log", "abs.log"), ("a//./b", "a/b"), ("..a", "..a")],
)
def test_a_log_lies_below_the_directory_of_its_pod(log_path: str, place: str) -> None:
    assert create.below(log_path) == place


@pytest.mark.parametrize("log_path", ["../x", "a/../../x", "..", "/..", "/", "a/.."])
def test_a_log_elsewhere_is_refused(log_path: str) -> None:
    with pytest.raises(create.BadLogPath, match="log_path"):
        create.below(log_path)
