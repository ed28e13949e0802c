"""The table of a container's phases, what is on disk after each step, and who is told."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers import lifecycle
from cri.containers.lifecycle import TRANSITIONS, ImpossibleTransition
from cri.containers.record import KIND, Container, Phase
from cri.events import Events
from cri.node import Node
from cri.quarantine import Quarantine
from cri.records import Records
from cri.sandboxes.record import Sandbox
from cri.store import Store
from cri.supervise import Supervisor


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """As much of one as a lifecycle needs."""
    records = Records(tmp_path / "records.sqlite")
    containers, sandboxes = Store[Container]("container"), Store[Sandbox]("sandbox")
    made = SimpleNamespace(
        records=records,
        quarantine=Quarantine(),
        unreadable=set[str](),
        background=Supervisor(),
        containers=containers,
        sandboxes=sandboxes,
        events=Events(),
    )
    yield cast(Node, made)
    records.close()


@pytest.fixture
def container() -> Container:
    sandbox, image = SandboxId("5" * 64), ImageId("sha256:0")
    return Container(ContainerId("c" * 64), "name", sandbox, pb.ContainerConfig(), "", image, "", 1)


def stored(node: Node) -> list[Phase]:
    return [Container.from_row(row).phase for row in node.records.rows(KIND)]


def test_the_record_follows_every_step_of_a_life(node: Node, container: Container) -> None:
    lifecycle.reserve(node, container)
    assert stored(node) == [Phase.CREATING]
    for phase in (Phase.CREATED, Phase.RUNNING, Phase.EXITED):
        lifecycle.move(node, container, phase)
        assert stored(node) == [phase]
    lifecycle.forget(node, container)
    assert stored(node) == []
    assert node.containers.named("name") is None


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, Phase)))
def test_only_what_the_table_names_is_possible(
    node: Node, container: Container, before: Phase, after: Phase
) -> None:
    lifecycle.reserve(node, container)
    container.phase = before
    lifecycle.save(node, container)
    if after in TRANSITIONS[before]:
        lifecycle.move(node, container, after)
        assert stored(node) == [after]
    else:
        with pytest.raises(ImpossibleTransition, match=f"is {before}, not to be {after}"):
            lifecycle.move(node, container, after)
        assert (container.phase, stored(node)) == (before, [before])


def test_nothing_brings_a_removed_container_back(node: Node, container: Container) -> None:
    lifecycle.reserve(node, container)
    lifecycle.move(node, container, Phase.CREATED)
    lifecycle.forget(node, container)
    lifecycle.save(node, container)
    lifecycle.move(node, container, Phase.EXITED)
    lifecycle.forget(node, container)
    assert stored(node) == []
    assert len(node.containers) == 0


def test_a_step_that_cannot_be_written_was_not_made(
    node: Node, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space")

    lifecycle.reserve(node, container)
    monkeypatch.setattr(Records, "update", full)
    with pytest.raises(OSError, match="no space"):
        lifecycle.move(node, container, Phase.CREATED)
    assert container.phase is Phase.CREATING


async def test_observers_hear_of_each_step_once(node: Node, container: Container) -> None:
    heard = node.events.listen()
    first = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0)
    lifecycle.reserve(node, container)
    for phase in (Phase.CREATED, Phase.RUNNING, Phase.EXITED):
        lifecycle.move(node, container, phase)
    lifecycle.save(node, container)
    lifecycle.forget(node, container)
    lifecycle.forget(node, container)
    events = [await first, *[await anext(heard) for _ in range(3)]]
    assert [event.container_event_type for event in events] == [
        pb.CONTAINER_CREATED_EVENT,
        pb.CONTAINER_STARTED_EVENT,
        pb.CONTAINER_STOPPED_EVENT,
        pb.CONTAINER_DELETED_EVENT,
    ]
    last = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0)
    assert not last.done()
    last.cancel()


async def test_nobody_hears_of_one_that_was_never_created(node: Node, container: Container) -> None:
    heard = asyncio.ensure_future(anext(node.events.listen()))
    await asyncio.sleep(0)
    lifecycle.reserve(node, container)
    lifecycle.forget(node, container)
    await asyncio.sleep(0)
    assert not heard.done()
    heard.cancel()
