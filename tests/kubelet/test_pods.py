"""Static pods as the kubelet brings them up, changes them and takes them down."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import eventually
from tests.kubelet.manifests import container, pod
from tests.kubelet.node import Node

pytestmark = pytest.mark.root


def test_a_static_pod_becomes_ready(node: Node) -> None:
    seen = node.run(pod("plain"))
    assert seen.phase == "Running"
    assert seen["main"].restarts == 0
    assert node.exec(seen, "hostname").strip() == seen.name
    assert f"inet {seen.ip}/" in node.exec(seen, "ip -4 addr show eth0")
    assert "ndots:3" in node.exec(seen, "cat /etc/resolv.conf")


def test_the_kubelet_takes_the_cgroup_driver_from_us(node: Node) -> None:
    seen = node.run(pod("driver"))
    assert node.cgroups.hierarchy.pids(node.cgroups.of_container(seen.uid, seen["main"].id))
    assert node.kubelet.configuration()["cgroupDriver"] != node.cgroups.driver


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
