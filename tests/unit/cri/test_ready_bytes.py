"""Joined parts are the very answer that gRPC would have made of the items."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Phase
from cri.ready_bytes import listed, serialized
from cri.sandboxes.record import Phase as SandboxPhase
from cri.sandboxes.record import Sandbox
from tests.unit.cri.made import TARGET


def _containers(*lengths: int) -> list[pb.Container]:
    return [pb.Container(id="c", labels={"text": "x" * length}) for length in lengths]


@pytest.mark.parametrize(
    "lengths", [(), (0,), (1, 117, 118, 119, 120), (16_370, 16_380, 16_390), (2_100_000,)]
)
def test_parts_make_the_answer(lengths: tuple[int, ...]) -> None:
    items = _containers(*lengths)
    joined = b"".join(listed(item) for item in items)
    assert list(pb.ListContainersResponse.FromString(joined).containers) == items
    assert list(pb.StreamContainersResponse.FromString(joined).containers) == items


@pytest.mark.parametrize("answer", [pb.VersionResponse(version="v"), pb.ListContainersResponse()])
def test_messages_and_ready_bytes_go_out_alike(
    answer: pb.VersionResponse | pb.ListContainersResponse,
) -> None:
    assert serialized(answer) == answer.SerializeToString() == serialized(answer.SerializeToString())


def test_a_part_follows_the_state_of_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    for phase, state in ((Phase.CREATED, pb.CONTAINER_CREATED), (Phase.EXITED, pb.CONTAINER_EXITED)):
        monkeypatch.setattr(TARGET, "phase", phase)
        for _ in range(2):
            answer = pb.ListContainersResponse.FromString(TARGET.listed())
            assert [item.state for item in answer.containers] == [state]
            assert list(answer.containers) == [TARGET.item()]


def test_a_part_follows_the_state_of_its_sandbox() -> None:
    sandbox = Sandbox.from_row(
        Sandbox(TARGET.sandbox_id, "pod", pb.PodSandboxConfig(), "crun", 1, SandboxPhase.READY).to_row()
    )
    for phase, state in (
        (SandboxPhase.READY, pb.SANDBOX_READY),
        (SandboxPhase.STOPPING, pb.SANDBOX_NOTREADY),
    ):
        sandbox.phase = phase
        answer = pb.ListPodSandboxResponse.FromString(sandbox.listed())
        assert [item.state for item in answer.items] == [state]
