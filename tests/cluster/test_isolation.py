"""How far a pod is let: namespaces that admit only careful ones, users of their own, another runtime."""

from collections.abc import Iterator

import pytest
from kubernetes.client import ApiException

from tests.cluster.cluster import Cluster
from tests.kubelet.manifests import Json, container, pod

pytestmark = pytest.mark.root

RESTRICTED = "restricted"


@pytest.fixture
def restricted(cluster: Cluster) -> Iterator[str]:
    """A namespace under the Pod Security Standard of that name."""
    labels = {"pod-security.kubernetes.io/enforce": RESTRICTED}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED, "labels": labels}}
    cluster.create(namespace)
    cluster.until(
        lambda: cluster.core.list_namespaced_service_account(RESTRICTED).items, bool, "it has an account"
    )
    yield RESTRICTED
    cluster.core.delete_namespace(RESTRICTED)
    cluster.until(
        lambda: [one.metadata.name for one in cluster.core.list_namespace().items],
        lambda left: RESTRICTED not in left,
        "the namespace is gone",
    )


def careful(name: str, **security: object) -> Json:
    """A pod for the namespace, as the standard wants it but for ``security``."""
    own = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        **security,
    }
    made = pod(
        name,
        container("main", securityContext=own),
        securityContext={
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "supplementalGroups": [3000],
            "supplementalGroupsPolicy": "Strict",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )
    made["metadata"]["namespace"] = RESTRICTED
    return made


def test_a_restricted_namespace_takes_only_careful_pods(cluster: Cluster, restricted: str) -> None:
    with pytest.raises(ApiException) as refused:
        cluster.core.create_namespaced_pod(
            restricted, careful("careless", capabilities={"add": ["NET_ADMIN"]})
        )
    assert refused.value.status == 403
    seen = cluster.run(careful("careful"), restricted)
    script = (
        "id -u; id -G; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x || true"
    )
    said = cluster.kubectl(
        "exec", "--namespace", restricted, seen.name, "--", "sh", "-c", f"{{ {script}; }} 2>&1"
    )
    user, groups, *rest = said.splitlines()
    assert (user, set(groups.split())) == ("1000", {"1000", "3000"})
    assert dict(line.split(":\t") for line in rest[:4]) == {
        "CapBnd": "0" * 16,
        "CapEff": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    assert "Read-only" in rest[4]
    cluster.core.delete_namespaced_pod(seen.name, restricted)


def test_a_pod_has_users_of_its_own(cluster: Cluster) -> None:
    cluster.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "users"}, "data": {"a": "b"}}
    )
    mounts = [{"name": "map", "mountPath": "/map"}, {"name": "scratch", "mountPath": "/scratch"}]
    volumes = [{"name": "map", "configMap": {"name": "users"}}, {"name": "scratch", "emptyDir": {}}]
    seen = cluster.run(pod("users", container("main", volumeMounts=mounts), volumes=volumes, hostUsers=False))
    inside, outside, number = cluster.exec(seen.name, "cat /proc/self/uid_map").split()
    assert inside == "0"
    assert int(outside) >= 65536
    assert number == "65536"
    assert cluster.exec(
        seen.name, "id -u; cat /map/a; echo; touch /scratch/x && stat -c %u /scratch/x"
    ).split() == [
        "0",
        "b",
        "0",
    ]
    assert cluster.kubectl("logs", seen.name) == ""


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_a_pod_runs_by_the_handler_of_its_runtime_class(cluster: Cluster, handler: str) -> None:
    runtime_class = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": f"by-{handler}"},
        "handler": handler,
    }
    cluster.create(runtime_class)
    seen = cluster.run(pod(handler, runtimeClassName=f"by-{handler}"))
    (sandbox,) = cluster.node.sandboxes(seen)
    assert sandbox.runtime_handler == handler
    assert cluster.exec(seen.name, "echo well") == "well\n"


def test_an_unknown_handler_is_named_in_an_event(cluster: Cluster) -> None:
    runtime_class = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "missing"}}
    cluster.create({**runtime_class, "handler": "nonesuch"})
    cluster.create(pod("unknown", runtimeClassName="missing"))
    cluster.until(cluster.events, lambda said: "nonesuch" in said, "the handler is named")
