"""What the kubelet prepares in files and expects to find in the container."""

import json
from pathlib import Path

import pytest

from tests.harness.images import Entry
from tests.kubelet.machine import NODE_ADDRESS
from tests.kubelet.manifests import Json, container, host_path, mount, pod
from tests.kubelet.node import Node

pytestmark = pytest.mark.root

MIB = 1 << 20


def field(path: str) -> Json:
    return {"fieldRef": {"fieldPath": path}}


def limit(resource: str) -> Json:
    return {"resourceFieldRef": {"containerName": "main", "resource": resource}}


def test_the_downward_api_tells_a_container_about_its_pod(node: Node) -> None:
    env = [
        {"name": "POD_NAME", "valueFrom": field("metadata.name")},
        {"name": "POD_IP", "valueFrom": field("status.podIP")},
        {"name": "NODE", "valueFrom": field("spec.nodeName")},
        {"name": "MEMORY", "valueFrom": limit("limits.memory")},
        {"name": "HOST_IP", "valueFrom": field("status.hostIP")},
        {"name": "POD_UID", "valueFrom": field("metadata.uid")},
        {"name": "COLOUR", "valueFrom": field("metadata.annotations['example.test/colour']")},
    ]
    seen = node.run(
        pod(
            "downward",
            container("main", env=env, resources={"limits": {"memory": "64Mi", "cpu": "500m"}}),
            metadata={"annotations": {"example.test/colour": "green"}},
        )
    )
    told = node.exec(seen, "echo $POD_NAME $POD_IP $NODE $MEMORY $HOST_IP $POD_UID $COLOUR").split()
    assert told == [seen.name, seen.ip, "node", str(64 * MIB), NODE_ADDRESS, seen.uid, "green"]


def test_a_volume_has_the_labels_of_the_pod(node: Node) -> None:
    # As a projected volume it would be laid out alike, but for those the kubelet wants an API server.
    items = [
        {"path": "labels", **field("metadata.labels")},
        {"path": "deep/cpu", **limit("limits.cpu")},
    ]
    seen = node.run(
        pod(
            "labels",
            container(
                "main",
                volumeMounts=[{"name": "about", "mountPath": "/about", "readOnly": True}],
                resources={"limits": {"memory": "64Mi", "cpu": "2"}},
            ),
            volumes=[{"name": "about", "downwardAPI": {"items": items}}],
            metadata={"labels": {"colour": "green"}},
        )
    )
    assert node.exec(seen, "cat /about/labels").strip() == 'colour="green"'
    assert node.exec(seen, "cat /about/deep/cpu").strip() == "2"
    assert node.exec(seen, "touch /about/x 2>&1 || echo refused").endswith("refused\n")


def test_an_empty_directory_in_memory_is_shared_and_bounded(node: Node) -> None:
    shared: Json = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    seen = node.run(
        pod(
            "memory",
            container("main", **shared),
            container("other", **shared),
            volumes=[{"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        )
    )
    assert "tmpfs /shared tmpfs" in node.exec(seen, "cat /proc/mounts")
    node.exec(seen, "echo hello >/shared/file")
    assert node.exec(seen, "cat /shared/file", "other") == "hello\n"
    assert "left" in node.exec(seen, "dd if=/dev/zero of=/shared/big bs=1M count=2 2>&1 || true")


def test_sub_paths_of_volumes(node: Node, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/file").write_text("of one\n")
    mounts = [
        {"name": "host", "mountPath": "/one", "subPath": "one", "readOnly": True},
        {"name": "host", "mountPath": "/etc/single", "subPath": "one/file"},
        {"name": "scratch", "mountPath": "/mine", "subPathExpr": "logs/$(POD_NAME)"},
        {"name": "scratch", "mountPath": "/all"},
    ]
    env = [{"name": "POD_NAME", "valueFrom": field("metadata.name")}]
    seen = node.run(
        pod(
            "subpath",
            container("main", volumeMounts=mounts, env=env),
            volumes=[
                {"name": "host", "hostPath": {"path": str(tmp_path)}},
                {"name": "scratch", "emptyDir": {}},
            ],
        )
    )
    assert node.exec(seen, "cat /one/file /etc/single") == "of one\nof one\n"
    node.exec(seen, "echo mine >/mine/file")
    assert node.exec(seen, f"cat /all/logs/{seen.name}/file") == "mine\n"
    assert node.exec(seen, "touch /one/x 2>&1 || echo refused").endswith("refused\n")


def test_a_sub_path_is_there_again_after_a_restart(node: Node) -> None:
    script = "test -e /mine/file && sleep 1000000; echo kept >/mine/file; exit 1"
    seen = node.run(
        pod(
            "again",
            container("main", script, **mount("scratch", "/mine", subPath="deep/down")),
            volumes=[{"name": "scratch", "emptyDir": {}}],
        )
    )
    seen = node.until(
        seen.name, lambda view: view.ready and view["main"].restarts == 1, "it runs for the second time"
    )
    assert node.exec(seen, "cat /mine/file") == "kept\n"


def test_a_sub_path_that_leads_out_is_refused(node: Node, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    name = node.kubelet.apply(
        pod(
            "leads-out",
            container("main", **mount("host", "/out", subPath="out")),
            volumes=[host_path("host", tmp_path)],
        )
    )
    seen = node.until(name, lambda view: bool(view["main"].state.message), "it is told why not")
    assert seen["main"].state.reason == "CreateContainerConfigError"
    assert not node.containers(seen)


def test_an_image_is_a_volume(node: Node) -> None:
    image = node.image("data:1", Entry("one/file", b"of one", 0o644), Entry("two", b"of two", 0o644))
    mounts = [
        {"name": "data", "mountPath": "/all"},
        {"name": "data", "mountPath": "/one", "subPath": "one"},
    ]
    seen = node.run(
        pod(
            "image-volume",
            container("main", volumeMounts=mounts),
            volumes=[{"name": "data", "image": {"reference": image}}],
        )
    )
    assert node.exec(seen, "cat /all/two /one/file") == "of twoof one"
    assert "Read-only" in node.exec(seen, "touch /all/x 2>&1 || true")


def test_a_volume_belongs_to_the_group_of_the_pod(node: Node) -> None:
    seen = node.run(
        pod(
            "group",
            container("main", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            volumes=[{"name": "data", "emptyDir": {}}],
            securityContext={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "runAsNonRoot": True},
        )
    )
    assert node.exec(seen, "touch /data/file; ls -ln /data/file").split()[2:4] == ["1000", "2000"]
    assert "2000" in node.exec(seen, "id -G").split()


def test_the_kubelet_measures_pods(node: Node) -> None:
    seen = node.run(pod("measured"))
    eventual = node.until(seen.name, lambda _: bool(_stats(node, seen.name)), "statistics are there")
    told = _stats(node, eventual.name)
    assert told["memory"]["workingSetBytes"] > 0
    assert told["cpu"]["usageCoreNanoSeconds"] > 0
    assert told["rootfs"]["usedBytes"] > 0


def _stats(node: Node, name: str) -> Json:
    """The container's part of /stats/summary; empty while something in it is missing."""
    for one in json.loads(node.kubelet.get("/stats/summary"))["pods"]:
        if one["podRef"]["name"] == name and one["containers"]:
            told: Json = one["containers"][0]
            if "workingSetBytes" in told.get("memory", {}) and "usedBytes" in told.get("rootfs", {}):
                return told
    return {}
