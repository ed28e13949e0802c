"""Podwright is killed and started again while a cluster is at work."""

import signal

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import OTHER_IMAGE, workload
from tests.cluster.test_deployments import set_image
from tests.kubelet.manifests import container, pod
from tests.kubelet.views import RUNNING, State

pytestmark = pytest.mark.root

REPLICAS = 8


def test_a_rolling_update_ends_well_though_podwright_is_killed(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 2, "failureThreshold": 5}
    bystander = cluster.create(workload("DaemonSet", "bystander", pod("bystander", hostNetwork=True)))
    template = pod("updated", container("main", readinessProbe=probe))
    strategy = {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 2}}
    name = cluster.create(workload("Deployment", "updated", template, replicas=REPLICAS, strategy=strategy))
    (watching,) = cluster.until_ready(bystander, 1)
    old = {one.uid for one in cluster.until_ready(name, REPLICAS, 120)}
    ids: dict[str, set[str]] = {}  # of what ran, by pod

    def updated() -> int:
        for one in cluster.pods(name):
            if one["main"].state.kind == RUNNING:
                ids.setdefault(one.uid, set()).add(one["main"].id)
        return cluster.apps.read_namespaced_deployment(name, NAMESPACE).status.updated_replicas or 0

    set_image(cluster, name, OTHER_IMAGE)
    for number in (2, 5):
        cluster.until(updated, number.__le__, f"{number} are new", 120)
        cluster.node.daemon.restart(signal.SIGKILL)
    new = cluster.until(
        lambda: (updated(), cluster.pods(name))[1],
        lambda pods: len(pods) == REPLICAS and all(one.ready and one.uid not in old for one in pods),
        "all are new and Ready",
        180,
    )
    # Not by the count of restarts: a container that was created when the answer was cut off, and never
    # started, is the kubelet's first attempt.
    assert all(one["main"].last == State() for one in new)
    assert all(len(seen) == 1 for seen in ids.values())
    (after,) = cluster.pods(bystander)
    assert after["main"].id == watching["main"].id
    assert after["main"].restarts == 0
    assert cluster.exec(after.name, "echo well") == "well\n"
