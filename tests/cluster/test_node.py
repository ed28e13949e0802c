"""What the node tells the cluster, and how the cluster takes pods off it."""

import json
from pathlib import Path

import pytest
from kubernetes.client import ApiException

from api.runtime.v1 import api_pb2 as pb
from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import workload
from tests.harness.client import TIMEOUT_S
from tests.kubelet.kubelet import NODE
from tests.kubelet.manifests import Json, container, pod

pytestmark = pytest.mark.root

MIB = 1 << 20
FINALIZER = "podwright.dev/kept-for-the-test"


def proxied(cluster: Cluster, path: str) -> str:
    """A page of the kubelet's, through the API server."""
    path = f"/api/v1/nodes/{NODE}/proxy/{path}"
    answer = cluster.api.call_api(path, "GET", auth_settings=["BearerToken"], _preload_content=False)
    text: str = answer.data.decode()
    return text


def test_the_node_tells_its_runtime_and_handlers(cluster: Cluster) -> None:
    status = cluster.node_status()
    version = cluster.node.client.runtime.Version(pb.VersionRequest(), timeout=TIMEOUT_S)
    told = f"{version.runtime_name}://{version.runtime_version}"
    assert status["nodeInfo"]["containerRuntimeVersion"] == told
    handlers = {one.get("name", ""): one["features"] for one in status["runtimeHandlers"]}
    assert handlers.keys() >= {"", "crun", "runc"}
    assert handlers["crun"] == {"recursiveReadOnlyMounts": True, "userNamespaces": True}
    assert status["features"]["supplementalGroupsPolicy"] is True


def test_the_node_lists_its_images(cluster: Cluster) -> None:
    seen = cluster.run(pod("image"))

    def names() -> set[str]:
        return {name for image in cluster.node_status().get("images", []) for name in image["names"]}

    cluster.until(names, lambda listed: seen["main"].image in listed, "the image is listed")


WRITES = "dd if=/dev/zero of=/file bs=1M count=3; sleep 1000000"


def measured(cluster: Cluster, name: str) -> Json:
    """The pod's part of /stats/summary; empty while its container's writing is not in it."""
    for told in json.loads(proxied(cluster, "stats/summary"))["pods"]:
        of_main: Json = next(iter(told["containers"] or []), {})
        if told["podRef"]["name"] == name and of_main.get("rootfs", {}).get("usedBytes", 0) >= 3 * MIB:
            return {**told, "main": of_main} if "workingSetBytes" in of_main.get("memory", {}) else {}
    return {}


def test_statistics_of_pods_come_through_the_api_server(cluster: Cluster) -> None:
    seen = cluster.run(pod("measured", container("main", WRITES)))
    told = cluster.until(lambda: measured(cluster, seen.name), bool, "it is measured")
    assert told["main"]["memory"]["workingSetBytes"] > 0
    assert told["main"]["cpu"]["usageCoreNanoSeconds"] > 0
    labels = f'container="main",namespace="{NAMESPACE}",pod="{seen.name}"'
    assert f"container_memory_working_set_bytes{{{labels}}}" in proxied(cluster, "metrics/resource")


def test_statistics_can_be_those_of_the_runtime(cluster: Cluster) -> None:
    kubelet = cluster.node.kubelet
    kubelet.stop()
    kubelet.start({"featureGates": {"PodAndContainerStatsFromCRI": True}})
    try:
        seen = cluster.run(pod("measured", container("main", WRITES)))
        told = cluster.until(lambda: measured(cluster, seen.name), bool, "it is measured")
    finally:
        kubelet.stop()
        kubelet.start()
    assert told["main"]["cpu"]["usageCoreNanoSeconds"] > 0
    assert told["process_stats"]["process_count"] >= 1
    assert told["network"]["name"] == "eth0"


def test_a_pod_is_evicted_only_within_its_budget(cluster: Cluster) -> None:
    name = cluster.create(workload("Deployment", "evicted", pod("evicted"), replicas=2))
    cluster.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": name}}},
        }
    )
    first, _ = cluster.until_ready(name, 2)
    with pytest.raises(ApiException) as refused:
        evict(cluster, first.name)
    assert refused.value.status == 429
    cluster.kubectl("delete", "poddisruptionbudget", name)
    evict(cluster, first.name)
    cluster.until(
        lambda: {one.uid for one in cluster.until_ready(name, 2)},
        lambda uids: first.uid not in uids,
        "it is replaced",
    )


def evict(cluster: Cluster, name: str) -> None:
    cluster.core.create_namespaced_pod_eviction(name, NAMESPACE, {"metadata": {"name": name}})


@pytest.mark.parametrize("place", ["/file", "/scratch/file"])
def test_a_pod_that_writes_more_than_it_may_is_evicted(cluster: Cluster, place: str) -> None:
    script = f"dd if=/dev/zero of={place} bs=1M count=20; sleep 1000000"
    main = container(
        "main",
        script,
        resources={"limits": {"ephemeral-storage": "10Mi"}},
        volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
    )
    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "10Mi"}}]
    name = cluster.create(pod("greedy", main, volumes=volumes))
    status = cluster.until(
        lambda: cluster.pod_json(name)["status"],
        lambda status: status["phase"] == "Failed",
        "it is evicted",
        120,
    )
    assert status["reason"] == "Evicted"


def kept(name: str, script: str, grace_s: int) -> Json:
    """A pod whose object stays after its deletion, so that its end can be read."""
    made = pod(name, container("main", script), terminationGracePeriodSeconds=grace_s)
    made["metadata"]["finalizers"] = [FINALIZER]
    return made


def end_of(cluster: Cluster, name: str) -> int | None:
    """The exit code of a deleted pod's container; lets the pod go."""
    seen = cluster.until_pod(name, lambda view: view["main"].state.exit_code is not None, "has ended")
    cluster.release(name)
    return seen["main"].state.exit_code


def test_a_deleted_pod_has_its_grace_to_end(cluster: Cluster, tmp_path: Path) -> None:
    script = "trap 'sleep 2; echo done >/shared/done; exit 9' TERM; sleep 1000000 & wait"
    made = kept("graceful", script, 30)
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    made["spec"]["volumes"] = [{"name": "shared", "hostPath": {"path": str(tmp_path)}}]
    seen = cluster.run(made)
    cluster.core.delete_namespaced_pod(seen.name, NAMESPACE)
    assert end_of(cluster, seen.name) == 9
    assert (tmp_path / "done").read_text() == "done\n"


def test_a_deletion_may_give_less_grace_than_the_pod_asks_for(cluster: Cluster) -> None:
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    seen = cluster.run(kept("stubborn", stubborn, 600))
    cluster.core.delete_namespaced_pod(seen.name, NAMESPACE, grace_period_seconds=1)
    assert end_of(cluster, seen.name) == 137
