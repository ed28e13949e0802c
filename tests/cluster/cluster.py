"""A cluster of one node: the control plane, kube-proxy, and tests.kubelet's node joined to it."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from kubernetes import client, config, stream, utils

from tests.cluster.control_plane import STEP_TIMEOUT_S, ControlPlane, running_control_plane
from tests.cluster.proxy import running_proxy
from tests.critest.toolchain import ensure_tool
from tests.harness.client import eventually
from tests.kubelet.kubelet import NODE
from tests.kubelet.manifests import Json
from tests.kubelet.node import Node, running_node
from tests.kubelet.views import PodView

NAMESPACE = "default"
PATIENCE_S = 60.0
POLL_S = 0.2
EVENTS_TAIL = 20

T = TypeVar("T")


class Cluster:
    """``core``, ``apps`` and ``batch`` are the plain client; the methods are what tests do most."""

    def __init__(self, plane: ControlPlane, node: Node) -> None:
        self.plane = plane
        self.node = node
        self.api = config.new_client_from_config(str(plane.kubeconfig("super-admin")))
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.batch = client.BatchV1Api(self.api)

    def close(self) -> None:
        self.api.close()

    def create(self, manifest: Json, namespace: str = NAMESPACE) -> str:
        """Create an object of any kind; its name."""
        utils.create_from_dict(self.api, manifest, namespace=namespace)
        return str(manifest["metadata"]["name"])

    def run(self, manifest: Json, namespace: str = NAMESPACE, patience_s: float = PATIENCE_S) -> PodView:
        """Create a pod and wait until it is Ready."""
        name = self.create(manifest, namespace)
        return self.until_pod(name, lambda pod: pod.ready, "is Ready", patience_s, namespace)

    def json(self, model: Any) -> Json:
        """What the client read, as the API server wrote it."""
        read: Json = self.api.sanitize_for_serialization(model)
        return read

    def pod_json(self, name: str, namespace: str = NAMESPACE) -> Json:
        return self.json(self.core.read_namespaced_pod(name, namespace))

    def pod(self, name: str, namespace: str = NAMESPACE) -> PodView:
        return PodView.of(self.pod_json(name, namespace))

    def pods(self, app: str) -> list[PodView]:
        """Those with this label ``app``, ended and leaving ones among them."""
        listed = self.core.list_namespaced_pod(NAMESPACE, label_selector=f"app={app}")
        return [PodView.of(self.json(one)) for one in listed.items]

    def until(
        self, look: Callable[[], T], right: Callable[[T], bool], what: str, patience_s: float = PATIENCE_S
    ) -> T:
        """As ``eventually``, without keeping the API server busy; an error carries the ends of the logs."""
        try:
            return eventually(look, right, what, patience_s, POLL_S)
        except TimeoutError as error:
            events = self.events().splitlines()[-EVENTS_TAIL:]
            lines = [str(error), "the last events:", *events]
            logs = [self.node.kubelet.log_tail(), self.node.daemon.log_tail()]
            raise TimeoutError("\n".join(lines + logs)) from None

    def until_pod(
        self,
        name: str,
        right: Callable[[PodView], bool],
        what: str,
        patience_s: float = PATIENCE_S,
        namespace: str = NAMESPACE,
    ) -> PodView:
        return self.until(lambda: self.pod(name, namespace), right, f"pod {name} {what}", patience_s)

    def until_ready(self, app: str, number: int, patience_s: float = PATIENCE_S) -> list[PodView]:
        """The pods of that label once there are just so many, all Ready."""
        return self.until(
            lambda: self.pods(app),
            lambda pods: len(pods) == number and all(pod.ready for pod in pods),
            f"{number} pods of {app} are Ready",
            patience_s,
        )

    @contextlib.contextmanager
    def executing(self, name: str, *command: str, **options: object) -> Iterator[Any]:
        """A command in a pod by the API server: the client's WSClient."""
        what = {"stdin": False, "stdout": True, "stderr": True, "tty": False, **options}
        call = self.core.connect_get_namespaced_pod_exec
        remote = stream.stream(call, name, NAMESPACE, command=[*command], _preload_content=False, **what)
        try:
            yield remote
        finally:
            remote.close()
            remote.sock.shutdown()  # close() leaves the socket open if the other side was first

    def exec(self, name: str, script: str, container: str = "main") -> str:
        """Run a script in a container; both its outputs, mixed."""
        with self.executing(name, "sh", "-c", script, container=container) as remote:
            remote.run_forever(STEP_TIMEOUT_S)
            return str(remote.read_all())

    def log(self, name: str, **options: object) -> str:
        """What a pod wrote."""
        # Decoded by the client it would be the text of a bytes object.
        answer = self.core.read_namespaced_pod_log(name, NAMESPACE, _preload_content=False, **options)
        text: str = answer.data.decode()
        return text

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl as the administrator, which must succeed; its standard output."""
        done = subprocess.run(
            self.kubectl_line(*arguments),
            input=text,
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout

    def kubectl_line(self, *arguments: str) -> list[str]:
        options = [
            f"--kubeconfig={self.plane.kubeconfig('super-admin')}",
            f"--cache-dir={self.plane.state / 'kubectl'}",
        ]
        return [str(ensure_tool("kubectl")), *options, *arguments]

    def release(self, name: str) -> None:
        """Let a pod go that has finalizers."""
        self.core.patch_namespaced_pod(name, NAMESPACE, {"metadata": {"finalizers": None}})

    def events(self) -> str:
        """What happened to the objects of the namespace, one line each, in order."""
        listed = self.core.list_namespaced_event(NAMESPACE).items
        listed.sort(key=lambda one: one.last_timestamp or one.metadata.creation_timestamp)
        return "\n".join(f"{one.involved_object.name}: {one.reason}: {one.message}" for one in listed)

    def clear(self) -> None:
        """Delete what tests make in the namespace; wait until nothing of it runs on the node."""
        background = client.V1DeleteOptions(propagation_policy="Background", grace_period_seconds=1)
        for delete in (
            self.apps.delete_collection_namespaced_deployment,
            self.apps.delete_collection_namespaced_daemon_set,
            self.batch.delete_collection_namespaced_job,
            self.core.delete_collection_namespaced_pod,
        ):
            delete(NAMESPACE, body=background)
        for one in self.core.list_namespaced_pod(NAMESPACE).items:
            if one.metadata.finalizers and not one.metadata.owner_references:
                self.release(one.metadata.name)
        for one in self.core.list_namespaced_service(NAMESPACE).items:
            if one.metadata.name != "kubernetes":
                self.core.delete_namespaced_service(one.metadata.name, NAMESPACE)
        self.until(
            lambda: [one.metadata.name for one in self.core.list_pod_for_all_namespaces().items],
            lambda left: not left,
            "the pods are gone",
        )
        self.node.idle()

    def bearer(self, token: str, *audiences: str) -> Json:
        """Whom the API server takes the bearer of a token for: authentication/v1 UserInfo."""
        spec = {"token": token, "audiences": list(audiences)}
        review = client.AuthenticationV1Api(self.api).create_token_review({"spec": spec})
        user: Json = self.json(review)["status"]["user"]
        return user

    def node_status(self) -> Json:
        """What the kubelet tells of its node."""
        told: Json = self.json(self.core.read_node(NODE))["status"]
        return told

    def ready(self) -> bool:
        """Whether pods can be made and would be scheduled."""
        nodes = self.core.list_node().items
        return bool(nodes) and _schedulable(self.json(nodes[0])) and self._has_account()

    def _has_account(self) -> bool:
        accounts = self.core.list_namespaced_service_account(NAMESPACE).items
        maps = self.core.list_namespaced_config_map(NAMESPACE).items
        return bool(accounts) and any(one.metadata.name == "kube-root-ca.crt" for one in maps)


def _schedulable(node: Mapping[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


@contextlib.contextmanager
def running_cluster(handler: str = "crun") -> Iterator[Cluster]:
    """One that takes pods; afterwards nothing of it is left, and nothing had to be forced."""
    with (
        running_control_plane() as plane,
        running_node(handler, plane.kubeconfig("kubelet")) as node,
        running_proxy(plane),
        contextlib.closing(Cluster(plane, node)) as cluster,
    ):
        cluster.until(cluster.ready, bool, "the node is Ready")
        yield cluster
        cluster.clear()
