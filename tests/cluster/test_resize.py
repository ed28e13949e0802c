"""In-place resize: limits change under a running container."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.kubelet.manifests import Json, container, pod
from tests.kubelet.views import PodView

pytestmark = pytest.mark.root

MIB = 1 << 20
# As the container sees its cgroup: version 1, else version 2.
MEMORY = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max"
CPU = "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 cpu.max"
SHARES = "cd /sys/fs/cgroup; cat cpu/cpu.shares 2>/dev/null || cat cpu.weight"


def resources(cpu: str, memory: str, *, request: str = "50m") -> Json:
    return {"requests": {"cpu": request, "memory": "32Mi"}, "limits": {"cpu": cpu, "memory": memory}}


def resize(cluster: Cluster, name: str, wanted: Json) -> None:
    change = {"spec": {"containers": [{"name": "main", "resources": wanted}]}}
    cluster.core.patch_namespaced_pod_resize(name, NAMESPACE, change)


def until_has(cluster: Cluster, name: str, wanted: Json) -> PodView:
    """Wait until the kubelet says that the container has these resources and nothing is under way."""

    def told() -> Mapping[str, object]:
        status = cluster.pod_json(name)["status"]
        pending = [one for one in status["conditions"] if one["type"].startswith("PodResize")]
        return {"has": status["containerStatuses"][0].get("resources"), "pending": pending}

    cluster.until(told, lambda seen: seen == {"has": wanted, "pending": []}, f"pod {name} has {wanted}")
    return cluster.pod(name)


def cgroup_of(cluster: Cluster, seen: PodView) -> tuple[int, int]:
    """Bytes of memory and microseconds of a CPU in each tenth of a second."""
    return int(cluster.exec(seen.name, MEMORY)), int(cluster.exec(seen.name, CPU))


def memory_of_pod(cluster: Cluster, seen: PodView) -> int:
    """The limit of the pod's own cgroup."""
    cgroups = cluster.node.cgroups
    own = Path(cgroups.of_container(seen.uid, seen["main"].id, "burstable")).parent
    directory = cgroups.hierarchy.directory(str(own), "memory")
    assert directory
    version_1 = directory / "memory.limit_in_bytes"
    return int((version_1 if version_1.exists() else directory / "memory.max").read_text())


def test_limits_go_up_and_down_without_a_restart(cluster: Cluster) -> None:
    first = resources("200m", "64Mi")
    seen = cluster.run(pod("resized", container("main", resources=first)))
    assert cgroup_of(cluster, seen) == (64 * MIB, 20000)
    shares = int(cluster.exec(seen.name, SHARES))
    for wanted, has in (
        (resources("400m", "128Mi", request="200m"), (128 * MIB, 40000)),
        (resources("100m", "48Mi"), (48 * MIB, 10000)),
    ):
        resize(cluster, seen.name, wanted)
        after = until_has(cluster, seen.name, wanted)
        assert cgroup_of(cluster, seen) == has
        assert after["main"].id == seen["main"].id
        assert after["main"].restarts == 0
    assert int(cluster.exec(seen.name, SHARES)) == shares


def test_the_cgroup_of_the_pod_follows(cluster: Cluster) -> None:
    both = [container(name, resources=resources("200m", "64Mi")) for name in ("main", "other")]
    seen = cluster.run(pod("pod-level", *both))
    wanted = resources("300m", "96Mi")
    resize(cluster, seen.name, wanted)
    until_has(cluster, seen.name, wanted)
    assert memory_of_pod(cluster, seen) == 160 * MIB


def test_a_container_restarts_for_what_it_cannot_take_in_place(cluster: Cluster) -> None:
    policy = [
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
    ]
    first = resources("200m", "64Mi")
    seen = cluster.run(pod("restarts", container("main", resources=first, resizePolicy=policy)))
    more_cpu = resources("300m", "64Mi")
    resize(cluster, seen.name, more_cpu)
    assert until_has(cluster, seen.name, more_cpu)["main"].id == seen["main"].id
    more_memory = resources("300m", "96Mi")
    resize(cluster, seen.name, more_memory)
    cluster.until_pod(seen.name, lambda view: view["main"].restarts == 1 and view.ready, "restarts once")
    until_has(cluster, seen.name, more_memory)
    assert cgroup_of(cluster, seen) == (96 * MIB, 30000)


def test_a_resize_that_the_node_has_no_room_for_waits(cluster: Cluster) -> None:
    first = resources("200m", "64Mi")
    seen = cluster.run(pod("waits", container("main", resources=first)))
    allocatable = float(cluster.node_status()["allocatable"]["cpu"])
    neighbour = resources("2", "64Mi", request=f"{allocatable / 2}")
    cluster.run(pod("neighbour", container("main", resources=neighbour)))
    resize(cluster, seen.name, resources("2", "64Mi", request=f"{allocatable * 0.75}"))

    def pending() -> list[str]:
        conditions = cluster.pod_json(seen.name)["status"]["conditions"]
        return [one["reason"] for one in conditions if one["type"] == "PodResizePending"]

    assert cluster.until(pending, bool, "it is said that it waits") == ["Deferred"]
    assert cgroup_of(cluster, seen) == (64 * MIB, 20000)
