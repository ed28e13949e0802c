"""Volumes that the kubelet fills from the API server, and refills while a pod runs."""

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import config_map, secret
from tests.kubelet.manifests import Json, container, pod

pytestmark = pytest.mark.root

AUDIENCE = "podwright-tests"


def mounted(name: str, volume: Json, *, path: str = "/data", script: str | None = None) -> Json:
    """A pod with one read-only volume at ``path``."""
    mounts = [{"name": "data", "mountPath": path, "readOnly": True}]
    main = container("main", volumeMounts=mounts) if script is None else container("main", script)
    return pod(name, main, volumes=[{"name": "data", **volume}])


def test_a_projected_volume_has_parts_of_four_kinds(cluster: Cluster) -> None:
    cluster.create(config_map("projected", {"colour": "green"}))
    cluster.create(secret("projected", {"word": "sesame"}))
    sources = [
        {"serviceAccountToken": {"path": "token", "audience": AUDIENCE, "expirationSeconds": 600}},
        {"configMap": {"name": "projected", "items": [{"key": "colour", "path": "deep/colour"}]}},
        {"secret": {"name": "projected", "items": [{"key": "word", "path": "word", "mode": 0o400}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    seen = cluster.run(mounted("projected", {"projected": {"sources": sources}}))
    said = cluster.exec(
        seen.name, "cd /data; cat deep/colour; echo; cat word; echo; cat name; echo; cat token"
    )
    colour, word, name, token = said.split()
    assert (colour, word, name) == ("green", "sesame", seen.name)
    user = cluster.bearer(token, AUDIENCE)
    assert user["username"] == "system:serviceaccount:default:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == [seen.name]
    assert cluster.exec(seen.name, "stat -L -c %a /data/word").strip() == "400"
    assert "Read-only" in cluster.exec(seen.name, "touch /data/x || true")


def test_volumes_follow_what_they_are_made_from(cluster: Cluster) -> None:
    cluster.create(config_map("live", {"colour": "green", "shape": "round"}))
    cluster.create(secret("live", {"word": "sesame"}))
    mounts = [
        {"name": "map", "mountPath": "/map"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "map", "mountPath": "/fixed", "subPath": "colour"},
    ]
    env = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "live", "key": "colour"}}}]
    volumes = [
        {"name": "map", "configMap": {"name": "live"}},
        {"name": "secret", "secret": {"secretName": "live"}},
    ]
    seen = cluster.run(pod("live", container("main", volumeMounts=mounts, env=env), volumes=volumes))
    read = "cat /map/colour; echo; cat /secret/word; echo; ls /map"
    assert cluster.exec(seen.name, read).split() == ["green", "sesame", "colour", "shape"]
    change = {"data": {"colour": "blue", "shape": None, "size": "large"}}
    cluster.core.patch_namespaced_config_map("live", NAMESPACE, change)
    cluster.core.patch_namespaced_secret("live", NAMESPACE, {"stringData": {"word": "open"}})
    cluster.until(
        lambda: cluster.exec(seen.name, read).split(),
        lambda said: said == ["blue", "open", "colour", "size"],
        "both volumes are new",
        150,  # the kubelet looks once a minute, and a little later
    )
    # A single file, and the environment, stay as they were at the start.
    assert cluster.exec(seen.name, "cat /fixed; echo; echo $COLOUR").split() == ["green", "green"]
    assert cluster.pod(seen.name)["main"].id == seen["main"].id


def test_a_volume_follows_the_labels_of_its_pod(cluster: Cluster) -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    seen = cluster.run(mounted("labels", {"downwardAPI": {"items": items}}))
    cluster.core.patch_namespaced_pod(seen.name, NAMESPACE, {"metadata": {"labels": {"colour": "green"}}})
    cluster.until(
        lambda: cluster.exec(seen.name, "cat /data/labels"),
        lambda said: 'colour="green"' in said,
        "the label is in the volume",
        150,
    )


def test_a_pod_waits_for_the_map_that_it_needs(cluster: Cluster) -> None:
    name = cluster.create(mounted("waits", {"configMap": {"name": "late"}}))
    cluster.until(cluster.events, lambda said: 'configmap "late" not found' in said, "it is missed")
    cluster.create(config_map("late", {"colour": "green"}))
    cluster.until_pod(name, lambda seen: seen.ready, "is Ready", 150)
    assert cluster.exec(name, "cat /data/colour") == "green"


def test_an_image_is_mounted_as_a_volume(cluster: Cluster) -> None:
    reference = "registry.k8s.io/e2e-test-images/nginx:1.14-2"
    seen = cluster.run(mounted("image", {"image": {"reference": reference, "pullPolicy": "IfNotPresent"}}))
    assert "nginx" in cluster.exec(seen.name, "cat /data/www/index.html")
    assert "Read-only" in cluster.exec(seen.name, "touch /data/x || true")
    (told,) = cluster.pod_json(seen.name)["status"]["containerStatuses"]
    assert [one["mountPath"] for one in told["volumeMounts"] if one["name"] == "data"] == ["/data"]
