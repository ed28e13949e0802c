"""Whose fault it is: each thing that a pod may wait for, or fail of, by the words of the code itself."""

import pytest

from cri.history import document
from cri.operations import Operation, Step
from cri.timeline import faults, why

# What an operation is at when something hangs, and whom the answer has to name.
HANGING = [
    ("RunPodSandbox", ("network", "CNI plugin slow"), "the CNI plugin slow"),
    ("PullImage", ("1 layers from registry.example:5000",), "the registry registry.example:5000"),
    ("PullImage", ("manifest from registry.example",), "the registry registry.example"),
    ("CreateContainer", ("runtime create",), "the OCI runtime crun"),
    ("StartContainer", ("runtime start",), "the OCI runtime crun"),
    ("CreateContainer", ("spec",), "a volume"),
    ("CreateContainer", ("look at the outcome",), "a volume"),
    ("CreateContainer", ("log directory",), "the file system of the container logs"),
    ("StopContainer", ("signal 15 and grace",), "the program in the container"),
    ("StopContainer", ("kill",), "uninterruptible sleep"),
    ("RemovePodSandbox", ("wait for RunPodSandbox",), "another operation on the same object: RunPodSandbox"),
    ("RunPodSandbox", ("cgroup",), "systemd"),
]

# Errors as they are raised, in which step, and whom the answer has to name.
FAILED = [
    (
        "PullImage",
        "manifest from registry.example",
        "the image is for linux/s390x, and this node is linux/amd64: pull one that is built for it",
        "whoever built the image",
    ),
    (
        "PullImage",
        "manifest from registry.example",
        "no image for linux/amd64 in the index; it offers linux/s390x",
        "whoever built the image",
    ),
    (
        "RunPodSandbox",
        "CNI plugin bridge",
        "network pod: no IP addresses available in 10.88.0.2-10.88.0.3",
        "the address range",
    ),
    (
        "CreateContainer",
        "root file system",
        "[Errno 28] No space left on device: '/var/lib/podwright/containers/x'",
        "a full disk",
    ),
    (
        "RunPodSandbox",
        "CNI plugin slow",
        "CNI plugin slow (/opt/cni/bin/slow) did not end ADD within 20 s",
        "the CNI plugin slow",
    ),
    (
        "CreateContainer",
        "runtime create",
        "crun create 0123456789abc: no end within 240 s, killed",
        "the OCI runtime crun",
    ),
]


def _operation(verb: str, *steps: str) -> Operation:
    operation = Operation(verb, "web", {"namespace": "tests", "pod": "web"}, id="1", waiting=1)
    operation.started -= 20.0
    operation.steps = [Step("files and namespaces", operation.started, operation.started + 0.1)]
    operation.steps += [Step(name, operation.started + 0.5) for name in steps]
    return operation


@pytest.mark.parametrize(("verb", "steps", "whose"), HANGING)
def test_what_hangs_is_named_with_its_step_and_since_when(
    verb: str, steps: tuple[str, ...], whose: str
) -> None:
    (found,) = why.findings([document(_operation(verb, *steps))], [], [], "crun")
    assert str(found["what"]).startswith(f'it waits in step "{steps[-1]}" of {verb}, since ')
    assert str(found["what"]).endswith("for 19.5 s")
    assert whose in str(found["whose"])
    assert found["todo"]
    assert "files and namespaces" in str(found["tried"])


@pytest.mark.parametrize(("verb", "step", "error", "whose"), FAILED)
def test_what_failed_is_named_with_its_step_and_how_often(
    verb: str, step: str, error: str, whose: str
) -> None:
    operation = _operation(verb, step)
    operation.ended, operation.error = operation.started + 20.5, error
    operation.steps[-1].ended, operation.steps[-1].failed = operation.ended, True
    told = document(operation)
    (found,) = why.findings([], [told, told], [], "crun")
    assert found["what"] == f'{verb} failed in step "{step}" after 20.0 s: {error}'
    assert str(found["tried"]).startswith("2 times since ")
    assert whose in str(found["whose"])
    assert found["todo"]


def test_a_failure_that_a_later_try_made_good_is_none() -> None:
    failed, done = _operation("RunPodSandbox", "network"), _operation("RunPodSandbox", "network")
    failed.ended = done.ended = failed.started + 20.5
    failed.error = "no such bridge"
    states = [{"words": "the pod is ready"}]
    (found,) = why.findings([], [document(failed), document(done)], states, "crun")
    assert found["what"] == "the pod is ready"


def test_a_pull_that_trickles_says_how_much_came() -> None:
    told = document(_operation("PullImage", "2 layers from registry.example"))
    told["progress"] = {
        "done_bytes": 1200,
        "total_bytes": 5_000_000,
        "done_layers": 1,
        "total_layers": 2,
        "rate": 3,
        "layers": [],
    }
    (found,) = why.findings([told], [], [], "crun")
    assert "1.2 kB of 5.0 MB and 1 of 2 layers are here, 3 B a second come" in str(found["what"])


def test_who_asked_and_went_away_is_told() -> None:
    operation = _operation("RunPodSandbox", "network")
    operation.asked, operation.waiting = 3, 0
    (found,) = why.findings([document(operation)], [], [], "crun")
    assert "asked for 3 times" in str(found["tried"])
    assert "who asked has gone away" in str(found["tried"])


def test_what_nobody_foresaw_is_this_nodes() -> None:
    assert faults.of_error("strange", "strange step").whose == "this node"
