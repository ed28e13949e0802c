"""Statistics of containers while some of them go away, or cannot be measured."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container, Phase
from cri.node import Node
from cri.quarantine import Quarantine
from cri.stats.collected import Collected
from cri.stats.verbs import message, messages
from storage.overlay import RootfsNotFound


def container(letter: str) -> Container:
    return Container(
        id=ContainerId(letter * 64),
        name=letter,
        sandbox_id=SandboxId("1" * 64),
        config=pb.ContainerConfig(),
        handler="crun",
        image_id=ImageId("sha256:9"),
        image_ref="",
        created_ns=5,
        log_path=None,
        cgroup_path="",
        stop_signal=15,
        phase=Phase.EXITED,
    )


class Layers:
    """The writable layers of all but ``gone``; those of e cannot be read."""

    def __init__(self, gone: str) -> None:
        self._gone = gone

    async def usage(self, container_id: ContainerId) -> tuple[int, int]:
        if container_id.startswith(self._gone):
            raise RootfsNotFound(f"container {container_id} has no root file system")
        if container_id.startswith("e"):
            raise OSError(errno.EIO, "the disk has a hole")
        return 4096, 1


@pytest.fixture
def node() -> Node:
    images = SimpleNamespace(fs_info=lambda: SimpleNamespace(mountpoint=Path("/images")))
    parts = {"rootfs": Layers("b"), "images": images, "quarantine": Quarantine(), "collected": Collected()}
    return cast(Node, SimpleNamespace(**parts))


async def test_a_list_leaves_out_what_is_removed_meanwhile(node: Node) -> None:
    found = await messages(node, [container(letter) for letter in "abc"])
    assert [one.attributes.id[0] for one in found] == ["a", "c"]
    assert found[0].writable_layer.used_bytes.value == 4096


async def test_one_container_that_is_being_removed_is_not_found(node: Node) -> None:
    with pytest.raises(RootfsNotFound):
        await message(node, container("b"))


async def test_a_layer_that_cannot_be_measured_is_left_out_and_fails_no_list(node: Node) -> None:
    found = await messages(node, [container(letter) for letter in "ae"])
    assert [one.attributes.id[0] for one in found] == ["a", "e"]
    assert [one.HasField("writable_layer") for one in found] == [True, False]


async def test_a_container_that_cannot_be_shown_is_left_out_alone(node: Node) -> None:
    odd = container("c")
    odd.config = cast(Any, SimpleNamespace(metadata=None, labels={"\ud800": ""}, annotations={}))
    found = await messages(node, [container("a"), odd])
    assert [one.attributes.id[0] for one in found] == ["a"]
    assert [(kind, identifier[0]) for kind, identifier, _ in node.quarantine] == [("container", "c")]
