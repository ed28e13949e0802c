"""Pulls by the kubelet, the reasons that it shows, and its garbage collection."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.critest.images import STAGING
from tests.harness.client import TIMEOUT_S, eventually
from tests.harness.images import Entry, digest_of
from tests.kubelet.manifests import IMAGE, Json, container, pod
from tests.kubelet.node import Node
from tests.kubelet.views import WAITING

pytestmark = pytest.mark.root

UNUSED = f"{STAGING}/test-image-1:latest"
USED = f"{STAGING}/test-image-2:latest"


MOUNTED: Json = {"volumeMounts": [{"name": "volume", "mountPath": "/volume"}]}


def image_volume(image: str) -> Json:
    return {"name": "volume", "image": {"reference": image}}


def of_image(name: str, image: str, **fields: object) -> Json:
    return pod(name, {**container("main"), "image": image, **fields})


def test_an_image_that_is_not_there_is_tried_again_until_it_is(node: Node) -> None:
    image = f"{node.own.address}/late:1"
    name = node.kubelet.apply(of_image("late", image))
    waits = node.until(name, lambda view: view["main"].state.reason == "ImagePullBackOff", "it backs off")
    assert waits["main"].state.kind == WAITING
    message = waits["main"].state.message
    assert image in message
    assert "ErrImagePull" in message
    assert "not found" in message
    assert "MANIFEST_UNKNOWN" in message  # the registry's own word
    node.image("late:1")
    seen = node.until(name, lambda view: view.ready, "the image is pulled and the pod Ready", 120)
    assert seen["main"].image == image


def test_a_registry_that_does_not_answer_is_named(node: Node) -> None:
    name = node.kubelet.apply(of_image("nobody", "127.0.0.1:1/image:1"))
    # The word RegistryUnavailable in the runtime's answer is what makes the kubelet say so.
    seen = node.until(
        name, lambda view: "RegistryUnavailable" in str(view["main"].state), "the pull failed", 20
    )
    assert "127.0.0.1:1" in seen["main"].state.message
    assert "Connection refused" in seen["main"].state.message
    assert " object at 0x" not in seen["main"].state.message


def test_a_volume_whose_image_is_not_there_holds_the_pod_back(node: Node) -> None:
    image = f"{node.own.address}/no-volume:1"
    name = node.kubelet.apply(pod("no-volume", container("main", **MOUNTED), volumes=[image_volume(image)]))
    seen = node.until(name, lambda view: view["main"].state.reason == "ImagePullBackOff", "it backs off")
    assert image in seen["main"].state.message
    node.image("no-volume:1", Entry("file", b"here", 0o644))
    seen = node.until(name, lambda view: view.ready, "the image is pulled and the pod Ready", 120)
    assert node.exec(seen, "cat /volume/file") == "here"


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [("localhost/not/here:1", "Never", "ErrImageNeverPull"), ("Not A Name", "Always", "InvalidImageName")],
)
def test_what_the_kubelet_refuses_itself(node: Node, image: str, policy: str, reason: str) -> None:
    name = node.kubelet.apply(of_image("refused", image, imagePullPolicy=policy))
    node.until(name, lambda view: view["main"].state.reason == reason, f"the reason is {reason}")


def test_an_image_by_digest(node: Node) -> None:
    tagged = node.image("pinned:1", Entry("marker", b"x", 0o644))
    digest = digest_of(node.own.fetch("pinned:1").manifest_bytes())
    seen = node.run(of_image("by-digest", f"{tagged.removesuffix(':1')}@{digest}"))
    assert seen["main"].image_id.endswith(digest)
    assert node.exec(seen, "cat /marker") == "x"


def test_an_image_is_pulled_again_only_where_the_policy_says_so(node: Node) -> None:
    image = node.image("moved:1", Entry("marker", b"old", 0o644))
    node.client.pull(image)
    node.image("moved:1", Entry("marker", b"new", 0o644))
    kept = node.run(of_image("kept", image, imagePullPolicy="IfNotPresent"))
    assert node.exec(kept, "cat /marker") == "old"
    fresh = node.run(of_image("fresh", image, imagePullPolicy="Always"))
    assert node.exec(fresh, "cat /marker") == "new"
    assert node.exec(kept, "cat /marker") == "old"


def test_garbage_collection_takes_only_what_is_not_used(node: Node) -> None:
    busy = node.run(of_image("busy", USED))
    volume = node.image("volume:1", Entry("file", b"x", 0o644))
    reader = node.run(pod("reader", container("main", **MOUNTED), volumes=[image_volume(volume)]))
    unused = node.client.pull(UNUSED)
    node.kubelet.stop()
    # A disk that is never free enough: the kubelet removes every image that it may.
    node.kubelet.start({"evictionHard": {"nodefs.available": "99%"}})
    try:
        eventually(lambda: _present(node, UNUSED), lambda there: not there, f"{unused} is removed", 60)
        assert _present(node, USED)
        assert _present(node, volume)
        assert node.exec(reader, "cat /volume/file") == "x"
        seen = node.until(busy.name, lambda view: view.ready, "it is Ready")
        assert seen["main"].id == busy["main"].id
        assert node.exec(seen, "echo well") == "well\n"
    finally:
        node.kubelet.stop()
        node.kubelet.start()
    assert node.run(of_image("again", IMAGE)).ready


def _present(node: Node, image: str) -> bool:
    request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image))
    return node.client.image.ImageStatus(request, timeout=TIMEOUT_S).HasField("image")
