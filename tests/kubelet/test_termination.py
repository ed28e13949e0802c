"""How pods are asked to end: hooks, signals, grace."""

from pathlib import Path

import pytest

from tests.harness.client import eventually
from tests.kubelet.manifests import Json, container, pod
from tests.kubelet.node import Node

pytestmark = pytest.mark.root

SHARED: Json = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
SAYS = "trap 'echo signal >>/shared/said; exit 0' TERM; sleep 1000000 & wait"
DEAF = "trap '' TERM; while :; do sleep 0.2; done"


def volumes(directory: Path) -> list[Json]:
    return [{"name": "shared", "hostPath": {"path": str(directory)}}]


def run_command(script: str) -> Json:
    return {"exec": {"command": ["sh", "-c", script]}}


def test_the_hook_before_the_stop_runs_to_its_end_before_the_signal(node: Node, tmp_path: Path) -> None:
    hook = run_command("echo hook >>/shared/said; sleep 1; echo over >>/shared/said")
    node.run(
        pod(
            "hooked",
            container("main", SAYS, lifecycle={"preStop": hook}, **SHARED),
            volumes=volumes(tmp_path),
            terminationGracePeriodSeconds=20,
        )
    )
    node.idle()
    assert (tmp_path / "said").read_text().split() == ["hook", "over", "signal"]


def test_the_hook_after_the_start_holds_readiness_back(node: Node, tmp_path: Path) -> None:
    hook = run_command("sleep 1; echo started >>/shared/said")
    node.run(
        pod(
            "started",
            container("main", lifecycle={"postStart": hook}, **SHARED),
            volumes=volumes(tmp_path),
        )
    )
    assert (tmp_path / "said").read_text() == "started\n"


def test_a_container_that_is_deaf_is_killed_when_its_grace_is_over(node: Node, tmp_path: Path) -> None:
    seen = node.run(pod("deaf", container("main", DEAF), volumes=volumes(tmp_path)))
    node.kubelet.withdraw(seen.name)
    ended = eventually(
        lambda: node.client.container(seen["main"].id),
        lambda status: bool(status.finished_at),
        "it ended",
        30,
    )
    assert ended.exit_code == 137
    node.idle()


def test_the_whole_grace_is_granted(node: Node, tmp_path: Path) -> None:
    script = "trap 'sleep 3; echo saved >>/shared/said; exit 0' TERM; sleep 1000000 & wait"
    seen = node.run(
        pod(
            "slow-end",
            container("main", script, **SHARED),
            volumes=volumes(tmp_path),
            terminationGracePeriodSeconds=30,
        )
    )
    node.kubelet.withdraw(seen.name)
    ended = eventually(
        lambda: node.client.container(seen["main"].id),
        lambda status: bool(status.finished_at),
        "it ended",
        30,
    )
    assert ended.exit_code == 0
    assert (tmp_path / "said").read_text() == "saved\n"


def test_a_failing_probe_ends_a_container_by_its_own_grace(node: Node) -> None:
    liveness = {
        **run_command("false"),
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 2,
    }
    name = node.kubelet.apply(
        pod("impatient", container("main", DEAF, livenessProbe=liveness), terminationGracePeriodSeconds=3600)
    )
    seen = node.until(name, lambda view: view["main"].restarts >= 1, "it is restarted", 40)
    assert seen["main"].last.exit_code == 137
    # It is still deaf, and the pod's own grace is an hour.
    node.client.stop_pod(node.sandboxes(seen)[0].id)
