import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import KIND, Container, Phase
from cri.events import Events
from cri.exits import UNSEEN_EXIT_CODE, apply, handle
from cri.node import Node
from cri.operations import Operations
from cri.records import Records
from cri.sandboxes.record import Phase as SandboxPhase
from cri.sandboxes.record import Sandbox
from cri.store import Store
from oci.monitor.types import Exited

ID = ContainerId("c" * 64)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """As much of one as an exit meets."""
    records = Records(tmp_path / "records.sqlite")
    containers, sandboxes = Store[Container]("container"), Store[Sandbox]("sandbox")
    made = SimpleNamespace(
        records=records,
        containers=containers,
        sandboxes=sandboxes,
        events=Events(),
        operations=Operations(slow_seconds=60),
    )
    yield cast(Node, made)
    records.close()


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
def test_reasons(node: Node, exit_code: int, oom_killed: bool, reason: str) -> None:
    container = _running()
    apply(node, container, Exited(ID, exit_code, 77, oom_killed))
    assert (container.phase, container.exit_code, container.reason) == (Phase.EXITED, exit_code, reason)
    assert container.finished_ns == 77
    assert container.exited.is_set()


def test_who_is_being_stopped_was_not_ended_by_the_kernel(node: Node) -> None:
    container = _running()
    container.stop_deadline = 5.0
    apply(node, container, Exited(ID, 137, 77, oom_killed=True))
    assert container.reason == "Error"


def test_an_end_that_nobody_saw_says_so(node: Node) -> None:
    container = _running()
    apply(node, container, Exited(ID, None, 77, oom_killed=False))
    assert (container.exit_code, container.reason) == (UNSEEN_EXIT_CODE, "Error")
    assert "not seen" in container.message


def test_the_first_story_stays(node: Node) -> None:
    container = _running()
    apply(node, container, Exited(ID, 3, 77, oom_killed=False))
    apply(node, container, Exited(ID, 0, 78, oom_killed=False))
    assert (container.exit_code, container.finished_ns) == (3, 77)


def test_who_ends_while_it_is_created_is_created_first(node: Node) -> None:
    container = _running()
    container.phase = Phase.CREATING
    event = Exited(ID, 137, 77, oom_killed=False)
    apply(node, container, event)
    assert (container.phase, container.early_exit) == (Phase.CREATING, event)
    container.phase = Phase.CREATED
    apply(node, container, event)
    assert (container.phase, container.exit_code) == (Phase.EXITED, 137)


@pytest.mark.parametrize(
    ("phase", "then"),
    [
        (SandboxPhase.CREATING, SandboxPhase.CREATING),
        (SandboxPhase.READY, SandboxPhase.STOPPED),
        (SandboxPhase.STOPPING, SandboxPhase.STOPPING),
        (SandboxPhase.STOPPED, SandboxPhase.STOPPED),
    ],
)
async def test_a_sandbox_without_its_pause_process_is_not_ready(
    node: Node, phase: SandboxPhase, then: SandboxPhase
) -> None:
    sandbox = Sandbox(SandboxId("5" * 64), "name", pb.PodSandboxConfig(), "", 1, phase)
    node.sandboxes.add(sandbox)
    await handle(node, Exited(ContainerId(sandbox.id), 137, 77, oom_killed=False))
    assert sandbox.phase is then
    assert sandbox.pause_ended is (phase is SandboxPhase.CREATING)


async def test_who_has_ended_has_ended_also_when_the_record_cannot_be_written(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = _running()
    node.containers.add(container)
    node.records.insert(KIND, container.to_row())
    event = Exited(ID, 3, 77, oom_killed=False)
    with monkeypatch.context() as full:
        full.setattr(node.records, "update", _full)
        with pytest.raises(sqlite3.OperationalError):
            await handle(node, event)
    assert (container.phase, container.exit_code) == (Phase.EXITED, 3)
    assert container.exited.is_set()
    await handle(node, event)
    [stored] = map(Container.from_row, node.records.rows(KIND))
    assert (stored.phase, stored.exit_code) == (Phase.EXITED, 3)


def _full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")
