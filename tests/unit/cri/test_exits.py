import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container, Phase
from cri.exits import UNSEEN_EXIT_CODE, apply
from oci.monitor.types import Exited

ID = ContainerId("c" * 64)


def _running() -> Container:
    sandbox = SandboxId("5" * 64)
    container = Container(ID, "name", sandbox, pb.ContainerConfig(), "", ImageId("sha256:0"), "", 1)
    container.phase = Phase.RUNNING
    return container


@pytest.mark.parametrize(
    ("exit_code", "oom_killed", "reason"),
    [
        (0, False, "Completed"),
        (3, False, "Error"),
        (137, False, "Error"),
        (137, True, "OOMKilled"),
        (1, True, "OOMKilled"),  # a shell that reports its child's end
        (0, True, "Completed"),  # lost a child and went on
    ],
)
def test_reasons(exit_code: int, oom_killed: bool, reason: str) -> None:
    container = _running()
    apply(container, Exited(ID, exit_code, 77, oom_killed))
    assert (container.phase, container.exit_code, container.reason) == (Phase.EXITED, exit_code, reason)
    assert container.finished_ns == 77
    assert container.exited.is_set()


def test_who_is_being_stopped_was_not_ended_by_the_kernel() -> None:
    container = _running()
    container.stop_deadline = 5.0
    apply(container, Exited(ID, 137, 77, oom_killed=True))
    assert container.reason == "Error"


def test_an_end_that_nobody_saw_says_so() -> None:
    container = _running()
    apply(container, Exited(ID, None, 77, oom_killed=False))
    assert (container.exit_code, container.reason) == (UNSEEN_EXIT_CODE, "Error")
    assert "not seen" in container.message


def test_the_first_story_stays() -> None:
    container = _running()
    apply(container, Exited(ID, 3, 77, oom_killed=False))
    apply(container, Exited(ID, 0, 78, oom_killed=False))
    assert (container.exit_code, container.finished_ns) == (3, 77)
