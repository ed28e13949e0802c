"""Liveness, readiness and startup probes, by exec, HTTP, TCP and gRPC."""

import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.critest.toolchain import ensure_tool
from tests.harness.client import eventually
from tests.harness.images import Entry
from tests.kubelet.manifests import WAIT, Json, container, pod, seconds
from tests.kubelet.node import Node

pytestmark = pytest.mark.root


@dataclass(frozen=True, slots=True)
class Way:
    """How a probe asks, and what is executed in the container so that it is answered well, and badly."""

    ask: Json
    good: str
    bad: str
    first: str = "true"
    serves_grpc: bool = False

    def probe(self, **fields: Any) -> Json:
        timing = {"periodSeconds": 1, "timeoutSeconds": seconds(2), "failureThreshold": 1}
        return {**self.ask, **timing, **fields}

    def container(self, node: Node, **fields: Any) -> Json:
        """One for which the probe goes badly at first."""
        return self._container(node, f"{self.first}; {WAIT}", fields)

    def good_container(self, node: Node, **fields: Any) -> Json:
        """One for which it goes well from the beginning."""
        return self._container(node, f"{self.first}; {self.good}; {WAIT}", fields)

    def _container(self, node: Node, script: str, fields: Json) -> Json:
        image = {"image": grpc_image(node)} if self.serves_grpc else {}
        return {**container("main", script, **fields), **image}


def grpc_image(node: Node) -> str:
    """An image with /health, which answers gRPC health checks on port 5000."""
    program = ensure_tool("health").read_bytes()
    return node.image("health:1", Entry("health", program))


WAYS = {
    "exec": Way({"exec": {"command": ["test", "-e", "/tmp/good"]}}, "touch /tmp/good", "rm /tmp/good"),
    "http": Way(
        {"httpGet": {"path": "/good", "port": 8080}},
        "touch /tmp/www/good",
        "rm /tmp/www/good",
        "mkdir /tmp/www; httpd -p 8080 -h /tmp/www",
    ),
    "tcp": Way({"tcpSocket": {"port": 8081}}, "httpd -p 8081 -h /tmp", "killall httpd"),
    "grpc": Way(
        {"grpc": {"port": 5000}},
        "{ /health --http-port 8082 >/dev/null 2>&1 & }",
        "wget -q -O /dev/null http://127.0.0.1:8082/make-not-serving",
        serves_grpc=True,
    ),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


def test_readiness_follows_the_probe(node: Node, way: Way) -> None:
    name = node.kubelet.apply(pod("ready", way.container(node, readinessProbe=way.probe())))
    seen = node.until(name, lambda view: view["main"].started, "it runs")
    assert not seen.ready
    node.exec(seen, way.good)
    node.until(name, lambda view: view.ready, "it is Ready")
    node.exec(seen, way.bad)
    last = node.until(name, lambda view: not view.ready, "it is no longer Ready")
    assert last["main"].id == seen["main"].id


def test_a_container_that_is_not_alive_is_restarted(node: Node, way: Way) -> None:
    liveness = way.probe(failureThreshold=3)
    name = node.kubelet.apply(pod("alive", way.container(node, livenessProbe=liveness)))
    first = node.until(name, lambda view: view["main"].started, "it runs")
    again = node.until(name, lambda view: view["main"].restarts >= 1, "it is restarted")
    assert again["main"].id != first["main"].id
    assert again["main"].last.container_id == first["main"].id
    assert again["main"].last.exit_code == 0  # it ends by itself when asked to


def test_a_live_container_is_left_alone(node: Node, way: Way) -> None:
    probe = way.probe()
    seen = node.run(pod("well", way.good_container(node, livenessProbe=probe, readinessProbe=probe)))
    for _ in range(3):
        # Each of these goes the long way through the kubelet's next look at the pod.
        seen = node.until(seen.name, lambda view: view.ready, "it stays Ready")
        node.exec(seen, "sleep 1")
    assert seen["main"].restarts == 0
    told = [line for line in node.kubelet.log().splitlines() if seen.name in line]
    assert not [line for line in told if "Liveness probe" in line]


def test_a_startup_probe_holds_the_others_back(node: Node, way: Way) -> None:
    other = {"exec": {"command": ["false"]}}
    name = node.kubelet.apply(
        pod(
            "startup",
            way.container(
                node,
                startupProbe=way.probe(failureThreshold=60),
                readinessProbe={"exec": {"command": ["touch", "/tmp/asked"]}, "periodSeconds": 1},
                livenessProbe={**other, "periodSeconds": 1, "failureThreshold": 1},
            ),
        )
    )
    seen = node.until(name, lambda view: view["main"].state.kind == "running", "it runs")
    assert node.exec(seen, "sleep 2; test ! -e /tmp/asked; echo $?") == "0\n"
    assert not seen["main"].started
    node.exec(seen, way.good)
    node.until(name, lambda view: view["main"].restarts == 1, "the liveness probe has its turn")


SLOW: Json = {"exec": {"command": ["sleep", "30"]}, "timeoutSeconds": 1, "failureThreshold": 1}


def test_a_probe_that_takes_too_long_has_failed(node: Node) -> None:
    liveness = {**SLOW, "periodSeconds": 1}
    name = node.kubelet.apply(pod("slow", container("main", livenessProbe=liveness)))
    node.until(name, lambda view: view["main"].restarts >= 1, "it is restarted")


def test_the_command_of_a_probe_that_takes_too_long_is_killed(node: Node) -> None:
    readiness = {**SLOW, "periodSeconds": 20}  # left alone, one at least would always be there
    name = node.kubelet.apply(pod("slow", container("main", readinessProbe=readiness)))
    failed = re.compile(f'"Probe failed" .*pod="default/{name}"')
    eventually(lambda: failed.search(node.kubelet.log()), bool, "it has failed", 60)
    seen = node.kubelet.pods()[name]
    eventually(
        lambda: _processes(node, seen["main"].id),
        lambda lines: not [line for line in lines if "sleep 30" in line],
        "its command is gone",
        10,
    )


def _processes(node: Node, container_id: str) -> list[str]:
    done = node.client.exec(container_id, "ps")
    return done.stdout.decode().splitlines()
