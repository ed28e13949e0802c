"""cri/containers/ending: what is told when a runtime fails over a container that ends."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.ending import Ended, told_by_its_end
from cri.containers.record import Container, Phase
from cri.node import Node
from cri.sandboxes.record import Phase as SandboxPhase
from cri.sandboxes.record import Sandbox
from cri.store import Store
from oci.runtime import RuntimeFailed, failed

WORDS = [
    "fail startup",
    "setns `mnt`: Bad file descriptor",
    "write to sync socket: Broken pipe",
    "failed without a word",
    "container `c` is not running",
    "open `/proc/7/ns/mnt`: No such file or directory",  # as over a program that is not there
]


def container_of(phase: Phase = Phase.RUNNING) -> Container:
    return Container(
        id=ContainerId("c" * 64),
        name="main",
        sandbox_id=SandboxId("5" * 64),
        config=pb.ContainerConfig(),
        handler="crun",
        image_id=ImageId(""),
        image_ref="",
        created_ns=1,
        phase=phase,
    )


def sandbox_of() -> Sandbox:
    return Sandbox(SandboxId("5" * 64), "pod", pb.PodSandboxConfig(), "crun", 1, SandboxPhase.READY)


def node_with(*sandboxes: Sandbox) -> Node:
    store = Store[Sandbox]("sandbox")
    for sandbox in sandboxes:
        store.add(sandbox)
    return cast(Node, SimpleNamespace(sandboxes=store))


async def outcome(node: Node, container: Container, error: Exception) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
        async with told_by_its_end(node, container, "the command"):
            raise error
    return caught.value


def _exited(container: Container, _: Sandbox) -> None:
    container.phase = Phase.EXITED


def _stopping(container: Container, _: Sandbox) -> None:
    container.stop_deadline = 1.0


def _unwanted(container: Container, _: Sandbox) -> None:
    container.abandoned = True


def _pod_stopping(_: Container, sandbox: Sandbox) -> None:
    sandbox.phase = SandboxPhase.STOPPING


ENDS = [_exited, _stopping, _unwanted, _pod_stopping]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("words", WORDS)
async def test_the_end_is_told_whatever_the_runtime_says(
    ends: Callable[[Container, Sandbox], None], words: str
) -> None:
    container, sandbox = container_of(), sandbox_of()
    ends(container, sandbox)
    found = await outcome(node_with(sandbox), container, failed("crun", "exec", container.id, words))
    assert isinstance(found, Ended)
    assert str(found) == f"container {'c' * 12} ended before the command was started"


@pytest.mark.parametrize("ends", ENDS)
async def test_a_bundle_that_is_removed_meanwhile_is_an_end(
    ends: Callable[[Container, Sandbox], None],
) -> None:
    container, sandbox = container_of(), sandbox_of()
    ends(container, sandbox)
    assert isinstance(await outcome(node_with(sandbox), container, FileNotFoundError(2, "gone")), Ended)


async def test_a_pod_that_is_gone_is_an_end() -> None:
    container = container_of()
    error = failed("crun", "exec", container.id, "fail startup")
    assert isinstance(await outcome(node_with(), container, error), Ended)


async def test_the_word_of_an_end_may_come_after_the_failure() -> None:
    container, sandbox = container_of(), sandbox_of()

    def exits() -> None:
        container.phase = Phase.EXITED
        container.exited.set()

    asyncio.get_running_loop().call_later(0.01, exits)
    error = failed("crun", "exec", container.id, "failed without a word")
    assert isinstance(await outcome(node_with(sandbox), container, error), Ended)


@pytest.mark.parametrize(
    "words", ["fail startup", "executable file `x` not found: No such file or directory"]
)
async def test_a_failure_over_a_container_that_lives_is_the_runtimes(words: str) -> None:
    container = container_of()
    error = failed("crun", "exec", container.id, words)
    assert await outcome(node_with(sandbox_of()), container, error) is error


async def test_what_succeeds_is_left_alone() -> None:
    async with told_by_its_end(node_with(), container_of(), "the command"):
        pass


async def test_other_errors_pass() -> None:
    error = RuntimeError("another")
    assert not isinstance(error, RuntimeFailed)
    assert await outcome(node_with(), container_of(Phase.EXITED), error) is error
