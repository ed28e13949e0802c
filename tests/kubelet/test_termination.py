"""How pods are asked to end: hooks, signals, grace."""

from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import eventually
from tests.kubelet.manifests import Json, container, host_path, mount, pod, seconds
from tests.kubelet.node import Node

pytestmark = pytest.mark.root

SHARED = mount("shared", "/shared")
SAYS = "trap 'echo signal >>/shared/said; exit 0' TERM; sleep 1000000 & wait"
DEAF = "trap '' TERM; while :; do sleep 0.2; done"


def volumes(directory: Path) -> list[Json]:
    return [host_path("shared", directory)]


def run_command(script: str) -> Json:
    return {"exec": {"command": ["sh", "-c", script]}}


def until_ended(node: Node, container_id: str) -> pb.ContainerStatus:
    """Its status as soon as it has ended; it must not be removed so soon."""
    return eventually(
        lambda: node.client.container(container_id), lambda status: bool(status.finished_at), "it ended", 30
    )


def test_the_hook_before_the_stop_runs_to_its_end_before_the_signal(node: Node, tmp_path: Path) -> None:
    hook = run_command("echo hook >>/shared/said; sleep 1; echo over >>/shared/said")
    node.run(
        pod(
            "hooked",
            container("main", SAYS, lifecycle={"preStop": hook}, **SHARED),
            volumes=volumes(tmp_path),
            terminationGracePeriodSeconds=seconds(20),
        )
    )
    node.idle()
    assert (tmp_path / "said").read_text().split() == ["hook", "over", "signal"]


def test_the_hook_may_be_a_request(node: Node, tmp_path: Path) -> None:
    # The page is a program, which the server runs for who asks.
    page = "#!/bin/sh\necho hook >>/shared/said\necho\necho heard\n"
    serve = (
        f"mkdir -p /tmp/www/cgi-bin; printf '{page}' >/tmp/www/cgi-bin/hook; chmod +x /tmp/www/cgi-bin/hook;"
        " httpd -p 8080 -h /tmp/www"
    )
    hook = {"httpGet": {"path": "/cgi-bin/hook", "port": 8080}}
    ready = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    main = container("main", f"{serve}; {SAYS}", lifecycle={"preStop": hook}, readinessProbe=ready, **SHARED)
    node.run(pod("asked", main, volumes=volumes(tmp_path), terminationGracePeriodSeconds=seconds(20)))
    node.idle()
    assert (tmp_path / "said").read_text().split() == ["hook", "signal"]


def test_the_hook_may_be_a_pause(node: Node, tmp_path: Path) -> None:
    count = (
        "trap 'echo signal >>/shared/said; exit 0' TERM; while :; do echo x >>/shared/said; sleep 0.5; done"
    )
    main = container("main", count, lifecycle={"preStop": {"sleep": {"seconds": 4}}}, **SHARED)
    seen = node.run(pod("paused", main, volumes=volumes(tmp_path), terminationGracePeriodSeconds=seconds(20)))
    eventually((tmp_path / "said").exists, bool, "it counts")
    node.kubelet.withdraw(seen.name)
    before = len((tmp_path / "said").read_text().split())
    node.idle()
    *counted, last = (tmp_path / "said").read_text().split()
    assert last == "signal"
    assert len(counted) >= before + 4  # eight in four seconds, were the machine idle


def test_a_hook_that_outlasts_the_grace_is_cut_off(node: Node, tmp_path: Path) -> None:
    main = container("main", SAYS, lifecycle={"preStop": run_command("echo hook >>/shared/said; sleep 1000")})
    seen = node.run(pod("endless", {**main, **SHARED}, volumes=volumes(tmp_path)))
    node.kubelet.withdraw(seen.name)
    ended = until_ended(node, seen["main"].id)
    assert ended.exit_code == 0  # it was still asked to end, and had a moment for it
    node.idle()
    assert (tmp_path / "said").read_text().split() == ["hook", "signal"]


def test_a_hook_after_the_start_that_fails_ends_the_container(node: Node) -> None:
    main = container("main", lifecycle={"postStart": run_command("exit 3")})
    name = node.kubelet.apply(pod("unstarted", main))
    node.until(name, lambda view: view["main"].restarts >= 1, "it is ended and started again")
    eventually(node.kubelet.log, lambda text: "FailedPostStartHook" in text, "the kubelet says why")


def test_the_signal_is_the_image_s(node: Node, tmp_path: Path) -> None:
    image = node.image("polite:1", StopSignal="SIGUSR1")
    script = "trap 'echo usr1 >>/shared/said; exit 0' USR1; trap '' TERM; sleep 1000000 & wait"
    seen = node.run(
        pod("polite", {**container("main", script, **SHARED), "image": image}, volumes=volumes(tmp_path))
    )
    node.kubelet.withdraw(seen.name)
    assert until_ended(node, seen["main"].id).exit_code == 0
    assert (tmp_path / "said").read_text() == "usr1\n"


def test_all_containers_of_a_pod_are_asked_at_once(node: Node) -> None:
    script = "trap 'sleep 3; exit 0' TERM; sleep 1000000 & wait"
    names = ("one", "two", "three", "four")
    seen = node.run(
        pod(
            "together",
            *(container(name, script) for name in names),
            terminationGracePeriodSeconds=seconds(20),
        )
    )
    node.kubelet.withdraw(seen.name)
    ended = [until_ended(node, seen[name].id) for name in names]
    assert [one.exit_code for one in ended] == [0, 0, 0, 0]
    # One after the other they would have been nine seconds apart.
    apart_s = (max(one.finished_at for one in ended) - min(one.finished_at for one in ended)) / 1e9
    assert apart_s < seconds(3)


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
    assert until_ended(node, seen["main"].id).exit_code == 137


def test_the_whole_grace_is_granted(node: Node, tmp_path: Path) -> None:
    script = "trap 'sleep 3; echo saved >>/shared/said; exit 0' TERM; sleep 1000000 & wait"
    seen = node.run(
        pod(
            "slow-end",
            container("main", script, **SHARED),
            volumes=volumes(tmp_path),
            terminationGracePeriodSeconds=seconds(30),
        )
    )
    node.kubelet.withdraw(seen.name)
    assert until_ended(node, seen["main"].id).exit_code == 0
    assert (tmp_path / "said").read_text() == "saved\n"


def test_a_failing_probe_ends_a_container_by_its_own_grace(node: Node) -> None:
    liveness = {
        **run_command("false"),
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 2,
        "timeoutSeconds": seconds(1),
    }
    name = node.kubelet.apply(
        pod("impatient", container("main", DEAF, livenessProbe=liveness), terminationGracePeriodSeconds=3600)
    )
    seen = node.until(name, lambda view: view["main"].restarts >= 1, "it is restarted", 40)
    assert seen["main"].last.exit_code == 137
    # It is still deaf, and the pod's own grace is an hour: it ends while the kubelet cannot start it anew.
    node.kubelet.stop()
    node.kubelet.withdraw(name)
    for sandbox in node.sandboxes(seen):
        node.client.stop_pod(sandbox.id)
    node.kubelet.start()
