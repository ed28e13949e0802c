"""The process object."""

from typing import Any

import pytest

from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import IoPriority, ResourceLimit, Scheduler
from oci.run.plan import process
from oci.run.process_operations import SetMemoryPolicy, SetPersonality


def read(**more: Any) -> process.Process:
    return process.read(Table({"args": ["sh"], "cwd": "/", **more}, "process"))


def test_the_last_of_two_with_one_name_counts() -> None:
    assert read(env=["A=1", "B=2", "A=3="]).env == ("B=2", "A=3=")


def test_capabilities_are_masks_and_nothing_is_invented() -> None:
    sets = read(capabilities={"bounding": ["CAP_KILL", "CAP_X"], "effective": ["CAP_CHOWN"]})
    assert sets.capabilities == process.CapabilitySets(1 << 5, 1, 0, 0, 0)
    assert sets.unknown_capabilities == ("CAP_X",)
    assert read().capabilities is None


def test_limits_scheduler_and_priority() -> None:
    found = read(
        rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": (1 << 64) - 1}],
        scheduler={"policy": "SCHED_FIFO", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 7},
    )
    assert found.limits == (ResourceLimit("RLIMIT_CORE", 1, -1),)
    assert found.scheduler == Scheduler(1, 1, 0, 5, (0, 0, 0))
    assert found.io_priority == IoPriority(2, 7)


@pytest.mark.parametrize(
    "more",
    [
        {"args": []},
        {"args": ["a\0b"]},
        {"cwd": ""},
        {"cwd": "x"},
        {"env": ["A"]},
        {"env": ["=x"]},
        {"env": ["A=\0"]},
        {"user": {"uid": -1}},
        {"user": {"uid": 1 << 32}},
        {"user": {"umask": 0o1000}},
        {"oomScoreAdj": 1001},
        {"rlimits": [{"type": "NOFILE", "soft": 1, "hard": 1}]},
        {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}] * 2},
        {"scheduler": {"policy": "X"}},
        {"scheduler": {"policy": "SCHED_OTHER", "nice": 20}},
        {"scheduler": {"policy": "SCHED_OTHER", "priority": 1}},
        {"scheduler": {"policy": "SCHED_FIFO", "runtime": 1}},
        {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}},
        {"ioPriority": {"class": "X"}},
        {"execCPUAffinity": {"initial": "5-1"}},
    ],
)
def test_what_cannot_be_executed_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        read(**more)


@pytest.mark.parametrize(
    ("text", "numbers"), [("", ()), ("3", (3,)), ("0-2,7", (0, 1, 2, 7)), ("1, 1", (1,)), ("2-2", (2,))]
)
def test_lists_of_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert process.number_list(text) == numbers


@pytest.mark.parametrize("text", ["a", "-1", "3-1", "9000", "1-", "1-2-3"])
def test_other_texts_are_no_lists(text: str) -> None:
    with pytest.raises(BadConfig):
        process.number_list(text)


def test_personality_and_memory_policy() -> None:
    assert process.personality(Table({"personality": {"domain": "LINUX32"}})) == SetPersonality(8)
    policy = {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}
    assert process.memory_policy(Table({"memoryPolicy": policy})) == SetMemoryPolicy(2 | 1 << 15, 3)
    assert process.personality(Table({})) is None
    assert process.memory_policy(Table({})) is None


@pytest.mark.parametrize(
    "policy", [{"mode": "X"}, {"mode": "MPOL_BIND"}, {"mode": "MPOL_LOCAL", "nodes": "1"}]
)
def test_a_memory_policy_that_makes_no_sense(policy: dict[str, str]) -> None:
    with pytest.raises(BadConfig):
        process.memory_policy(Table({"memoryPolicy": policy}))
