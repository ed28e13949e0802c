"""Answers about a node over fakes: why while something hangs, the timeline, and questions that are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.errors import InvalidArgument, PodwrightError
from api.runtime.v1 import api_pb2 as pb
from cni.chain import Step, untimed
from cni.pod import Attachment, PodNetwork
from cri.node import Node
from cri.questions import BadQuestion, decoded
from cri.sandboxes.run import run_pod_sandbox
from cri.timeline import views
from tests.fakes import node as fakes


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    for owner, name, other in fakes.kernel(tmp_path):
        monkeypatch.setattr(owner, name, other)
    async with fakes.started(tmp_path) as made:
        made.stuck_logs = SimpleNamespace(logs=[], monitor_problem="")  # type: ignore[assignment]
        yield made


def _request(name: str) -> pb.RunPodSandboxRequest:
    metadata = pb.PodSandboxMetadata(name=name, namespace="tests", uid="1")
    return pb.RunPodSandboxRequest(config=pb.PodSandboxConfig(metadata=metadata))


async def test_why_names_a_plugin_while_it_hangs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = asyncio.Event()

    async def attach(pod: PodNetwork, step: Step = untimed) -> Attachment:
        timed: AbstractContextManager[object] = step("CNI plugin slow")
        with timed:
            hangs.set()
            await asyncio.Event().wait()
        raise AssertionError("it never comes")

    monkeypatch.setattr(node.network, "attach", attach)
    call = asyncio.create_task(run_pod_sandbox(node, _request("web")))
    await asyncio.wait_for(hangs.wait(), 10)
    for name in ("web", "tests/web"):
        (found,) = (await views.answer(node, {"ask": "why", "of": name}))["findings"]
        assert 'it waits in step "CNI plugin slow" of RunPodSandbox' in str(found["what"])
        assert found["whose"] == "the CNI plugin slow"
    (operation,) = (await views.answer(node, {"ask": "running"}))["running"]
    assert operation["about"]["pod"] == "web"
    await node.operations.drain(timeout_s=0)
    await asyncio.gather(call, return_exceptions=True)


async def test_a_pod_that_is_well_says_whose_turn_it_is(node: Node) -> None:
    pod = (await run_pod_sandbox(node, _request("web"))).pod_sandbox_id
    for name in ("web", "tests/web", pod, pod[:8]):
        (found,) = (await views.answer(node, {"ask": "why", "of": name}))["findings"]
        assert found["what"] == "the pod is ready, and has no containers"
        assert "the kubelet" in str(found["whose"])
        answer = await views.answer(node, {"ask": "timeline", "of": name})
        assert [each["verb"] for each in answer["operations"]] == ["RunPodSandbox"]


async def test_the_restore_of_a_start_is_an_operation(node: Node) -> None:
    (restore,) = (await views.answer(node, {"ask": "timeline", "of": ""}))["operations"]
    assert restore["verb"] == "Restore"


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"ask": "nothing"},
        {"ask": "timeline", "limit": 0},
        {"ask": "timeline", "limit": 10**9},
        {"ask": "timeline", "limit": "x"},
        {"ask": "timeline", "since": "zz"},
        {"ask": "why", "of": "nobody"},
    ],
)
async def test_what_cannot_be_answered_is_refused(node: Node, ask: dict[str, object]) -> None:
    with pytest.raises(PodwrightError):
        await views.answer(node, ask)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"null", b"[" * 60_000, b'{"a":"' + b"x" * (64 << 10)])
def test_no_object_is_no_question(data: bytes) -> None:
    with pytest.raises(BadQuestion) as caught:
        decoded(data)
    assert isinstance(caught.value, InvalidArgument)
