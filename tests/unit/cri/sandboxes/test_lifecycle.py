"""The table of a sandbox's phases, what is on disk after each step, and that nothing else writes there."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import cri
from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.events import Events
from cri.node import Node
from cri.quarantine import Quarantine
from cri.records import Records
from cri.sandboxes import lifecycle
from cri.sandboxes.lifecycle import TRANSITIONS, ImpossibleTransition
from cri.sandboxes.record import KIND, Phase, Sandbox
from cri.store import Store
from cri.supervise import Supervisor


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """As much of one as a lifecycle needs."""
    records = Records(tmp_path / "records.sqlite")
    made = SimpleNamespace(
        records=records,
        quarantine=Quarantine(),
        unreadable=set[str](),
        background=Supervisor(),
        sandboxes=Store[Sandbox]("sandbox"),
        events=Events(),
    )
    yield cast(Node, made)
    records.close()


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(SandboxId("5" * 64), "name", pb.PodSandboxConfig(), "", 1)


def stored(node: Node) -> list[Phase]:
    return [Sandbox.from_row(row).phase for row in node.records.rows(KIND)]


def test_the_record_follows_every_step_of_a_life(node: Node, sandbox: Sandbox) -> None:
    lifecycle.reserve(node, sandbox)
    assert stored(node) == [Phase.CREATING]
    for phase in (Phase.READY, Phase.STOPPING, Phase.STOPPED):
        assert sandbox.ended.is_set() is (phase is Phase.STOPPED)
        lifecycle.move(node, sandbox, phase)
        assert stored(node) == [phase]
    lifecycle.forget(node, sandbox)
    assert stored(node) == []
    assert node.sandboxes.named("name") is None


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, Phase)))
def test_only_what_the_table_names_is_possible(
    node: Node, sandbox: Sandbox, before: Phase, after: Phase
) -> None:
    lifecycle.reserve(node, sandbox)
    sandbox.phase = before
    lifecycle.save(node, sandbox)
    if after in TRANSITIONS[before]:
        lifecycle.move(node, sandbox, after)
        assert stored(node) == [after]
    else:
        with pytest.raises(ImpossibleTransition, match=f"is {before}, not to be {after}"):
            lifecycle.move(node, sandbox, after)
        assert (sandbox.phase, stored(node)) == (before, [before])


def test_nothing_brings_a_removed_sandbox_back(node: Node, sandbox: Sandbox) -> None:
    lifecycle.reserve(node, sandbox)
    lifecycle.move(node, sandbox, Phase.READY)
    lifecycle.forget(node, sandbox)
    lifecycle.save(node, sandbox)
    lifecycle.move(node, sandbox, Phase.STOPPED)
    lifecycle.forget(node, sandbox)
    assert stored(node) == []
    assert len(node.sandboxes) == 0


def test_only_a_ready_sandbox_is_listed_as_ready(sandbox: Sandbox) -> None:
    states = {}
    for phase in Phase:
        sandbox.phase = phase
        states[phase] = sandbox.cri_state()
    assert [phase for phase, state in states.items() if state == pb.SANDBOX_READY] == [Phase.READY]


def test_nothing_else_sets_phases_or_writes_records() -> None:
    root = Path(str(cri.__path__[0]))
    found = {
        f"{path.relative_to(root)}: {ast.unparse(node)}"
        for path in root.rglob("*.py")
        if path.name not in ("lifecycle.py", "records.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if _sets_a_phase(node) or _writes_a_record(node)
    }
    assert found == set()


def _sets_a_phase(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Attribute) and target.attr == "phase" for target in node.targets
    )


def _writes_a_record(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("insert", "update", "delete")
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr == "records"
    )
