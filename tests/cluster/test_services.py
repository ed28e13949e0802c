"""Services: pods reached by an address that is no pod's."""

import urllib.request

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import service, workload
from tests.kubelet.machine import NODE_ADDRESS
from tests.kubelet.manifests import WAIT, Json, container, pod
from tests.kubelet.views import PodView

pytestmark = pytest.mark.root

WEB = "mkdir /tmp/www; hostname >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def web() -> Json:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return pod("web", container("main", WEB, readinessProbe=probe))


def answers_of(cluster: Cluster, seen: PodView, target: str, number: int = 8) -> set[str]:
    """Who answers when a pod asks so many times."""
    script = f"for n in $(seq {number}); do wget -q -O - http://{target}/index.html; done"
    return set(cluster.exec(seen.name, script).split())


def test_a_pod_reaches_the_pods_of_a_service(cluster: Cluster) -> None:
    name = cluster.create(workload("Deployment", "web", web(), replicas=2))
    cluster.create(service(name, 80, 8080))
    address = cluster.core.read_namespaced_service(name, NAMESPACE).spec.cluster_ip
    names = {one.name for one in cluster.until_ready(name, 2)}
    asking = cluster.run(pod("asking"))
    cluster.until(
        lambda: answers_of(cluster, asking, address), lambda seen: seen == names, "both have answered"
    )
    # What a pod that starts after the service knows of it by name.
    assert answers_of(cluster, asking, "$WEB_SERVICE_HOST:$WEB_SERVICE_PORT") <= names
    # One of them by way of the service reaches itself too.
    one = cluster.pod(sorted(names)[0])
    cluster.until(
        lambda: answers_of(cluster, one, address), lambda seen: seen == names, "itself has answered"
    )


def test_a_service_follows_its_pods(cluster: Cluster) -> None:
    name = cluster.create(workload("Deployment", "web", web(), replicas=1))
    cluster.create(service(name, 80, 8080))
    address = cluster.core.read_namespaced_service(name, NAMESPACE).spec.cluster_ip
    (first,) = cluster.until_ready(name, 1)
    asking = cluster.run(pod("asking"))
    cluster.until(
        lambda: answers_of(cluster, asking, address, 1), lambda seen: seen == {first.name}, "it answers"
    )
    cluster.core.delete_namespaced_pod(first.name, NAMESPACE)
    cluster.until(
        lambda: answers_of(cluster, asking, address, 1),
        lambda seen: any(one.startswith("web-") for one in seen - {first.name}),
        "its successor answers",
    )


def test_a_service_is_reached_at_a_port_of_the_node(cluster: Cluster) -> None:
    name = cluster.create(workload("Deployment", "web", web(), replicas=1))
    cluster.create(service(name, 80, 8080, type="NodePort"))
    port = cluster.core.read_namespaced_service(name, NAMESPACE).spec.ports[0].node_port
    (seen,) = cluster.until_ready(name, 1)

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://{NODE_ADDRESS}:{port}/index.html", timeout=5) as response:
                text: str = response.read().decode()
        except OSError as error:
            return str(error)
        return text.strip()

    cluster.until(page, lambda text: text == seen.name, "its page is served")


def test_a_pod_speaks_with_the_api_server_as_its_account(cluster: Cluster) -> None:
    seen = cluster.run(pod("account", container("main", WAIT)))
    # Enough to see that it is the API server: it is asked in plain text and says so.
    said = cluster.exec(
        seen.name,
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT",
    )
    assert "HTTP request to an HTTPS server" in said
    user = cluster.bearer(cluster.exec(seen.name, f"cat {TOKEN}"))
    assert user["username"] == "system:serviceaccount:default:default"
