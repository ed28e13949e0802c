"""Containers that end: restart policies, back-off, attempt numbers, reasons."""

import pytest

from host.cgroups import Hierarchy
from tests.harness.client import eventually
from tests.kubelet.manifests import container, pod
from tests.kubelet.node import Node
from tests.kubelet.views import RUNNING, TERMINATED, WAITING

pytestmark = pytest.mark.root

EATER = "dd if=/dev/zero of=/dev/null bs=200M count=1"


def test_a_container_that_fails_is_restarted_with_back_off(node: Node) -> None:
    name = node.kubelet.apply(pod("crashing", container("main", "echo try; exit 3")))
    seen = node.until(
        name,
        lambda view: view["main"].restarts >= 2 and view["main"].state.kind == WAITING,
        "it waits for its third restart",
    )["main"]
    assert seen.state.reason == "CrashLoopBackOff"
    assert (seen.last.kind, seen.last.exit_code, seen.last.reason) == (TERMINATED, 3, "Error")
    view = node.kubelet.pods()[name]
    attempts = node.attempts(view)
    assert attempts == list(range(attempts[0], attempts[0] + len(attempts)))
    assert attempts[-1] >= 2
    assert {one.metadata.uid for one in node.sandboxes(view)} == {view.uid}


def test_each_attempt_has_a_log_of_its_own(node: Node) -> None:
    script = (
        "echo attempt $RANDOM$RANDOM; test -e /keep/again || { touch /keep/again; exit 1; }; sleep 1000000"
    )
    seen = node.run(
        pod(
            "twice",
            container("main", script, volumeMounts=[{"name": "keep", "mountPath": "/keep"}]),
            volumes=[{"name": "keep", "emptyDir": {}}],
        )
    )
    if seen["main"].restarts == 0:
        seen = node.until(
            seen.name, lambda view: view.ready and view["main"].restarts == 1, "it is restarted"
        )
    before = node.kubelet.logs(seen.name, "main", previous="true")
    assert before.startswith("attempt ")
    eventually(
        lambda: node.kubelet.logs(seen.name, "main"),
        lambda text: text.startswith("attempt ") and text != before,
        "the second attempt's log is shown",
        10,
    )
    directory = node.kubelet.state / f"pod-logs/default_{seen.name}_{seen.uid}/main"
    assert {path.name for path in directory.iterdir()} == {"0.log", "1.log"}


def test_a_pod_that_is_never_restarted_has_failed(node: Node) -> None:
    name = node.kubelet.apply(pod("once", container("main", "exit 7"), restartPolicy="Never"))
    seen = node.until(name, lambda view: view.phase == "Failed", "it has failed")
    assert (seen["main"].state.kind, seen["main"].state.exit_code) == (TERMINATED, 7)
    assert node.attempts(seen) in ([0], [])


def test_a_pod_whose_work_is_done_has_succeeded(node: Node) -> None:
    name = node.kubelet.apply(pod("done", container("main", "true"), restartPolicy="OnFailure"))
    seen = node.until(name, lambda view: view.phase == "Succeeded", "it has succeeded")
    assert (seen["main"].state.exit_code, seen["main"].state.reason) == (0, "Completed")
    assert seen["main"].restarts == 0


def test_a_container_that_eats_too_much_is_said_to_have(node: Node) -> None:
    limits = {"limits": {"memory": "32Mi"}}
    name = node.kubelet.apply(pod("eater", container("main", EATER, resources=limits), restartPolicy="Never"))
    seen = node.until(name, lambda view: view.phase == "Failed", "it has failed")
    assert (seen["main"].state.exit_code, seen["main"].state.reason) == (137, "OOMKilled")


def test_a_child_that_eats_too_much_takes_its_container_along_where_the_kernel_can(node: Node) -> None:
    # Version 2 kills the whole of a container (memory.oom.group), unless the kubelet is told otherwise.
    script = f"{EATER}; echo child $?; sleep 1000000"
    limits = {"limits": {"memory": "32Mi"}}
    name = node.kubelet.apply(
        pod("parent", container("main", script, resources=limits), restartPolicy="Never")
    )
    if Hierarchy.detect().version == 2:
        seen = node.until(name, lambda view: view.phase == "Failed", "it has failed")
        assert (seen["main"].state.exit_code, seen["main"].state.reason) == (137, "OOMKilled")
    else:
        node.until(name, lambda view: view.ready, "it is Ready")
        _until_logged(node, name, "child 137\n")
        assert node.kubelet.pods()[name]["main"].state.kind == RUNNING


def test_a_container_that_ends_well_after_a_child_was_killed_is_completed(node: Node) -> None:
    if Hierarchy.detect().version == 2:
        node.kubelet.stop()
        node.kubelet.start({"singleProcessOOMKill": True})
    script = f"{EATER}; echo child $?; sleep 1; exit 0"
    limits = {"limits": {"memory": "32Mi"}}
    name = node.kubelet.apply(
        pod("survivor", container("main", script, resources=limits), restartPolicy="Never")
    )
    try:
        seen = node.until(name, lambda view: view.phase == "Succeeded", "it has succeeded")
        assert node.kubelet.logs(name, "main").endswith("child 137\n")
    finally:
        if Hierarchy.detect().version == 2:
            node.kubelet.stop()
            node.kubelet.start()
    assert (seen["main"].state.exit_code, seen["main"].state.reason) == (0, "Completed")


def test_one_that_was_killed_for_memory_is_restarted_and_says_so(node: Node) -> None:
    limits = {"limits": {"memory": "32Mi"}}
    name = node.kubelet.apply(pod("hungry", container("main", EATER, resources=limits)))
    seen = node.until(name, lambda view: view["main"].restarts >= 2, "it is restarted twice")
    assert (seen["main"].last.exit_code, seen["main"].last.reason) == (137, "OOMKilled")
    assert node.attempts(seen)[-1] >= 2


def test_a_termination_message_reaches_the_status(node: Node) -> None:
    name = node.kubelet.apply(
        pod(
            "message",
            container("said", "echo -n why >/dev/termination-log; exit 1"),
            container("logged", "echo last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
            restartPolicy="Never",
        )
    )
    seen = node.until(name, lambda view: view.phase == "Failed", "it has failed")
    assert seen["said"].state.message == "why"
    assert seen["logged"].state.message == "last words\n"


def test_a_command_that_does_not_exist_is_named(node: Node) -> None:
    wrong = {**container("main"), "command": ["/no/such/program"]}
    name = node.kubelet.apply(pod("wrong", wrong))
    seen = node.until(
        name,
        lambda view: "/no/such/program" in view["main"].state.message + view["main"].last.message,
        "its status names the program",
    )
    assert not seen.ready


def test_a_pod_whose_sandbox_has_gone_gets_another(node: Node) -> None:
    seen = node.run(pod("lost"))
    (sandbox,) = node.sandboxes(seen)
    node.client.stop_pod(sandbox.id)
    again = node.until(
        seen.name, lambda view: view.ready and view["main"].id != seen["main"].id, "it runs anew"
    )
    assert {one.id for one in node.sandboxes(again)} > {sandbox.id}
    assert sorted(one.metadata.attempt for one in node.sandboxes(again)) == [0, 1]


def _until_logged(node: Node, pod: str, end: str) -> None:
    eventually(
        lambda: node.kubelet.logs(pod, "main"), lambda text: text.endswith(end), f"its log ends with {end!r}"
    )
