"""Static pods as the kubelet brings them up: init containers, sidecars, namespaces, host ports."""

import http.client
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import eventually
from tests.kubelet.machine import LINK, NODE_ADDRESS
from tests.kubelet.manifests import WAIT, Json, container, pod
from tests.kubelet.node import Node
from tests.kubelet.views import RUNNING, TERMINATED

pytestmark = pytest.mark.root


def host_path(name: str, path: Path) -> Json:
    return {"name": name, "hostPath": {"path": str(path)}}


def test_a_static_pod_becomes_ready(node: Node) -> None:
    seen = node.run(pod("plain"))
    assert seen.phase == "Running"
    assert seen["main"].restarts == 0
    assert node.exec(seen, "hostname").strip() == seen.name
    assert f"inet {seen.ip}/" in node.exec(seen, "ip -4 addr show eth0")
    assert "ndots:3" in node.exec(seen, "cat /etc/resolv.conf")


def test_the_kubelet_takes_the_cgroup_driver_from_us(node: Node) -> None:
    seen = node.run(pod("driver"))
    place = node.exec(seen, "cat /proc/1/cgroup")
    assert f"{node.cgroup_root}/kubepods/besteffort/pod{seen.uid}/podwright-{seen['main'].id}" in place
    assert ".slice" not in place


def test_init_containers_run_one_after_the_other_before_the_rest(node: Node) -> None:
    shared: Json = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    seen = node.run(
        pod(
            "init",
            container("main", **shared),
            init=[
                container("first", "sleep 0.5; echo first >>/shared/said", **shared),
                container("second", "echo second >>/shared/said", **shared),
            ],
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
    )
    assert node.exec(seen, "cat /shared/said") == "first\nsecond\n"
    for name in ("first", "second"):
        state = seen[name].state
        assert (state.kind, state.exit_code, state.reason) == (TERMINATED, 0, "Completed")


def test_an_init_container_that_fails_is_repeated_and_holds_the_others_back(node: Node) -> None:
    shared: Json = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    failing = "echo x >>/shared/tries; test $(wc -l </shared/tries) -ge 2"
    seen = node.run(
        pod(
            "stubborn",
            container("main", **shared),
            init=[container("setup", failing, **shared)],
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
    )
    assert seen["setup"].restarts == 1
    assert node.exec(seen, "cat /shared/tries") == "x\nx\n"


def test_a_sidecar_starts_before_and_ends_after_the_main_container(node: Node, tmp_path: Path) -> None:
    shared: Json = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}

    def script(name: str) -> str:
        return (
            f"echo {name} up >>/shared/said; trap 'echo {name} down >>/shared/said; exit 0' TERM;"
            " sleep 1000000 & wait"
        )

    seen = node.run(
        pod(
            "sidecar",
            container("main", script("main"), **shared),
            init=[container("helper", script("helper"), restartPolicy="Always", **shared)],
            volumes=[host_path("shared", tmp_path)],
            terminationGracePeriodSeconds=20,
        )
    )
    assert seen["helper"].state.kind == RUNNING
    node.idle()
    assert (tmp_path / "said").read_text().splitlines() == [
        "helper up",
        "main up",
        "main down",
        "helper down",
    ]


def test_a_sidecar_is_restarted_while_the_main_container_goes_on(node: Node) -> None:
    seen = node.run(
        pod(
            "revived",
            container("main"),
            init=[container("helper", "sleep 1; exit 1", restartPolicy="Always")],
        )
    )
    again = node.until(seen.name, lambda view: view["helper"].restarts >= 1, "the sidecar is restarted")
    assert again["main"].id == seen["main"].id
    assert again["main"].restarts == 0


def test_a_pod_on_the_host_network(node: Node) -> None:
    seen = node.run(pod("hostnet", hostNetwork=True))
    assert NODE_ADDRESS in node.exec(seen, f"ip -4 addr show {LINK}")


def test_a_host_port_leads_to_the_container(node: Node) -> None:
    script = f"mkdir /tmp/www; echo here >/tmp/www/index.html; httpd -p 8080 -h /tmp/www; {WAIT}"
    ports = [{"containerPort": 8080, "hostPort": 18080}]
    node.run(pod("hostport", container("main", script, ports=ports)))

    def fetch() -> bytes:
        connection = http.client.HTTPConnection(NODE_ADDRESS, 18080, timeout=5)
        try:
            connection.request("GET", "/index.html")
            return connection.getresponse().read()
        except OSError as error:
            return str(error).encode()
        finally:
            connection.close()

    eventually(fetch, lambda body: body == b"here\n", "the page comes by the host port", 20)


def test_containers_that_share_their_process_namespace_see_each_other(node: Node) -> None:
    seen = node.run(
        pod("shared", container("main"), container("other", "exec sleep 424242"), shareProcessNamespace=True)
    )
    assert "sleep 424242" in node.exec(seen, "ps")
    assert "sleep 424242" not in node.exec(seen, "cat /proc/1/cmdline | tr '\\0' ' '")


def test_a_pod_in_the_process_namespace_of_the_host_sees_the_kubelet(node: Node) -> None:
    seen = node.run(pod("hostpid", hostPID=True))
    assert str(node.kubelet.state / "kubelet.yaml") in node.exec(
        seen, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )


def test_a_withdrawn_pod_is_taken_down_and_its_containers_removed(node: Node) -> None:
    seen = node.run(pod("withdrawn"))
    (sandbox,) = node.sandboxes(seen)
    node.kubelet.withdraw(seen.name)
    eventually(
        lambda: [one.state for one in node.sandboxes(seen)],
        lambda states: pb.SANDBOX_READY not in states,
        f"sandbox {sandbox.id} is stopped",
        30,
    )
    # The kubelet collects what has ended once a minute.
    eventually(lambda: node.containers(seen), lambda left: not left, "its containers are removed", 150)
    eventually(lambda: node.sandboxes(seen), lambda left: not left, "its sandbox is removed", 150)
