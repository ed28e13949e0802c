"""Deployments: many pods at once, and all of them exchanged while they serve."""

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import OTHER_IMAGE, workload
from tests.kubelet.manifests import IMAGE, container, pod

pytestmark = pytest.mark.root

MANY = 30
SCALE_S = 180.0


def scale(cluster: Cluster, name: str, replicas: int) -> None:
    cluster.apps.patch_namespaced_deployment_scale(name, NAMESPACE, {"spec": {"replicas": replicas}})


def test_a_deployment_grows_to_thirty_ready_pods_and_shrinks_again(cluster: Cluster) -> None:
    name = cluster.create(workload("Deployment", "many", pod("many"), replicas=1))
    (first,) = cluster.until_ready(name, 1)
    scale(cluster, name, MANY)
    pods = cluster.until_ready(name, MANY, SCALE_S)
    assert len({one.ip for one in pods}) == MANY
    assert all(one["main"].restarts == 0 for one in pods)
    assert first.uid in {one.uid for one in pods}
    status = cluster.apps.read_namespaced_deployment(name, NAMESPACE).status
    assert (status.ready_replicas, status.available_replicas) == (MANY, MANY)
    scale(cluster, name, 2)
    cluster.until_ready(name, 2, SCALE_S)


def test_a_rolling_update_never_has_less_than_all_replicas(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    template = pod("rolling", container("main", readinessProbe=probe))
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 2}}
    name = cluster.create(workload("Deployment", "rolling", template, replicas=6, strategy=strategy))
    old = {one.uid for one in cluster.until_ready(name, 6)}
    least = 6

    def exchanged() -> bool:
        nonlocal least
        deployment = cluster.apps.read_namespaced_deployment(name, NAMESPACE)
        status = deployment.status
        least = min(least, status.available_replicas or 0)
        seen = status.observed_generation == deployment.metadata.generation
        return bool(seen and status.updated_replicas == status.replicas == status.ready_replicas == 6)

    set_image(cluster, name, OTHER_IMAGE)
    cluster.until(exchanged, bool, "all replicas are new")
    assert least == 6
    new = cluster.until_ready(name, 6)
    assert old.isdisjoint(one.uid for one in new)
    assert {one["main"].image for one in new} == {OTHER_IMAGE}
    assert all(one["main"].restarts == 0 for one in new)


def set_image(cluster: Cluster, name: str, image: str) -> None:
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    cluster.apps.patch_namespaced_deployment(name, NAMESPACE, change)


def test_a_pod_that_is_deleted_is_replaced(cluster: Cluster) -> None:
    name = cluster.create(workload("Deployment", "replaced", pod("replaced"), replicas=1))
    (first,) = cluster.until_ready(name, 1)
    assert first["main"].image == IMAGE
    cluster.core.delete_namespaced_pod(first.name, NAMESPACE)
    (second,) = cluster.until(
        lambda: cluster.pods(name),
        lambda pods: len(pods) == 1 and pods[0].uid != first.uid and pods[0].ready,
        "another pod is Ready",
    )
    assert second["main"].id != first["main"].id
