"""DaemonSets: one pod a node, here in the node's own network."""

import urllib.request

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import workload
from tests.kubelet.machine import NODE_ADDRESS
from tests.kubelet.manifests import container, pod

pytestmark = pytest.mark.root

PORT = 8099
WEB = f"mkdir /tmp/www; echo $HOSTNAME >/tmp/www/index.html; exec httpd -f -p {PORT} -h /tmp/www"


def page() -> str:
    with urllib.request.urlopen(f"http://{NODE_ADDRESS}:{PORT}/index.html", timeout=10) as response:
        text: str = response.read().decode()
    return text.strip()


def test_a_daemonset_serves_on_the_address_of_the_node(cluster: Cluster) -> None:
    ports = [{"containerPort": PORT, "hostPort": PORT}]
    template = pod("agent", container("main", WEB, ports=ports), hostNetwork=True)
    name = cluster.create(workload("DaemonSet", "agent", template))
    (first,) = cluster.until_ready(name, 1)
    assert first.ip == NODE_ADDRESS
    assert cluster.until(page, bool, "it serves") == cluster.exec(first.name, "hostname").strip()
    # The next one wants the same port of the node.
    cluster.core.delete_namespaced_pod(first.name, NAMESPACE)
    cluster.until(
        lambda: cluster.pods(name),
        lambda pods: len(pods) == 1 and pods[0].uid != first.uid and pods[0].ready,
        "another agent is Ready",
    )
    status = cluster.apps.read_namespaced_daemon_set(name, NAMESPACE).status
    assert (status.desired_number_scheduled, status.number_misscheduled) == (1, 0)
