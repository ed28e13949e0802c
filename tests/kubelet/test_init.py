"""Init containers and sidecars: what runs when, and what holds what back."""

from pathlib import Path

import pytest

from tests.harness.client import eventually
from tests.kubelet.manifests import Json, container, host_path, mount, pod, seconds
from tests.kubelet.node import Node
from tests.kubelet.views import RUNNING, TERMINATED

pytestmark = pytest.mark.root

SHARED = mount("shared", "/shared")
EMPTY: Json = {"name": "shared", "emptyDir": {}}


def tells(name: str, first: str = "true") -> Json:
    """A container that writes down when it is up, after a command, and when it is asked to end."""
    script = (
        f"{first}; trap 'echo {name} down >>/shared/said; exit 0' TERM; echo {name} up >>/shared/said;"
        " sleep 1000000 & wait"
    )
    return container(name, script, **SHARED)


def sidecar(ordinary: Json, **fields: object) -> Json:
    return {**ordinary, "restartPolicy": "Always", **fields}


def said(directory: Path) -> list[str]:
    path = directory / "said"
    return path.read_text().splitlines() if path.exists() else []


def until_said(directory: Path, number: int) -> list[str]:
    """That many lines: a container runs a moment before its script has told so."""
    return eventually(lambda: said(directory), lambda lines: len(lines) >= number, f"{number} have told", 20)


def test_init_containers_run_one_after_the_other_before_the_rest(node: Node) -> None:
    seen = node.run(
        pod(
            "init",
            container("main", **SHARED),
            init=[
                container("first", "sleep 0.5; echo first >>/shared/said", **SHARED),
                container("second", "echo second >>/shared/said", **SHARED),
            ],
            volumes=[EMPTY],
        )
    )
    assert node.exec(seen, "cat /shared/said") == "first\nsecond\n"
    for name in ("first", "second"):
        state = seen[name].state
        assert (state.kind, state.exit_code, state.reason) == (TERMINATED, 0, "Completed")


def test_an_init_container_that_fails_is_repeated_and_holds_the_others_back(node: Node) -> None:
    failing = "echo x >>/shared/tries; test $(wc -l </shared/tries) -ge 2"
    setup = container("setup", failing, **SHARED)
    seen = node.run(pod("stubborn", container("main", **SHARED), init=[setup], volumes=[EMPTY]))
    assert seen["setup"].restarts == 1
    assert node.exec(seen, "cat /shared/tries") == "x\nx\n"


def test_an_init_container_that_may_not_be_repeated_fails_the_pod(node: Node) -> None:
    init = [container("setup", "exit 9"), container("later", "true")]
    name = node.kubelet.apply(pod("unprepared", init=init, restartPolicy="Never"))
    seen = node.until(name, lambda view: view.phase == "Failed", "it has failed")
    assert seen["setup"].state.exit_code == 9
    assert {one.metadata.name for one in node.containers(seen)} <= {"setup"}


def test_a_sidecar_starts_before_and_ends_after_the_main_container(node: Node, tmp_path: Path) -> None:
    seen = node.run(
        pod(
            "sidecar",
            tells("main"),
            init=[sidecar(tells("helper"))],
            volumes=[host_path("shared", tmp_path)],
            terminationGracePeriodSeconds=seconds(20),
        )
    )
    assert seen["helper"].state.kind == RUNNING
    until_said(tmp_path, 2)
    node.idle()
    assert said(tmp_path) == ["helper up", "main up", "main down", "helper down"]


def test_sidecars_stand_in_line_with_init_containers_and_end_in_reverse(node: Node, tmp_path: Path) -> None:
    # The second waits until the first says that it has started, a second after it was.
    started = {"exec": {"command": ["grep", "one up", "/shared/said"]}, "periodSeconds": 1}
    started |= {"failureThreshold": 30, "timeoutSeconds": seconds(2)}
    node.run(
        pod(
            "in-line",
            tells("main"),
            init=[
                container("before", "echo before >>/shared/said", **SHARED),
                sidecar(tells("one", "sleep 1"), startupProbe=started),
                container("between", "echo between >>/shared/said", **SHARED),
                sidecar(tells("two")),
            ],
            volumes=[host_path("shared", tmp_path)],
            terminationGracePeriodSeconds=seconds(20),
        )
    )
    assert until_said(tmp_path, 5)[:3] == ["before", "one up", "between"]
    assert sorted(said(tmp_path)[3:]) == ["main up", "two up"]  # their scripts run side by side
    node.idle()
    assert said(tmp_path)[5:] == ["main down", "two down", "one down"]


def test_a_pod_is_ready_when_its_sidecars_are(node: Node) -> None:
    probe = {"exec": {"command": ["test", "-e", "/shared/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    helper = sidecar(container("helper", **SHARED), readinessProbe=probe | {"timeoutSeconds": seconds(2)})
    name = node.kubelet.apply(pod("waits", container("main", **SHARED), init=[helper], volumes=[EMPTY]))
    seen = node.until(name, lambda view: view["main"].ready, "its main container is ready")
    assert not seen.ready
    node.exec(seen, "touch /shared/ready")
    node.until(name, lambda view: view.ready, "it is Ready")


def test_a_sidecar_is_restarted_while_the_main_container_goes_on(node: Node) -> None:
    helper = sidecar(container("helper", "sleep 1; exit 1"))
    seen = node.run(pod("revived", container("main"), init=[helper]))
    again = node.until(seen.name, lambda view: view["helper"].restarts >= 1, "the sidecar is restarted")
    assert again["main"].id == seen["main"].id
    assert again["main"].restarts == 0


def test_a_sidecar_does_not_keep_a_pod_from_its_end(node: Node, tmp_path: Path) -> None:
    name = node.kubelet.apply(
        pod(
            "work",
            container("main", "echo work >>/shared/said", **SHARED),
            init=[sidecar(tells("helper"))],
            volumes=[host_path("shared", tmp_path)],
            restartPolicy="Never",
            terminationGracePeriodSeconds=seconds(20),
        )
    )
    seen = node.until(name, lambda view: view.phase == "Succeeded", "it has succeeded")
    assert seen["helper"].state.kind == TERMINATED
    assert said(tmp_path)[-1] == "helper down"
