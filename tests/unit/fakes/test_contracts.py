"""The fakes of the crash matrix keep the contracts of the parts that they stand for."""

import json
from pathlib import Path

import pytest

from api.ids import new_container_id
from cni.pod import PodNetwork
from oci.monitor.types import CreateContainer
from storage.catalogue import Image
from tests.contract.images import ImagesContract
from tests.contract.monitor import MonitorContract, Watched
from tests.contract.network import Left, MakePod, NetworkContract
from tests.contract.rootfs import RootfsContract
from tests.fakes.images import FakeImages
from tests.fakes.monitor import FakeMonitor
from tests.fakes.network import FakeNetwork
from tests.fakes.rootfs import FakeRootfs
from tests.fakes.runtime import handlers
from tests.fakes.world import World
from tests.unit.cri.made import IMAGE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


@pytest.fixture
def image() -> Image:
    return IMAGE


class TestFakeMonitor(MonitorContract):
    @pytest.fixture
    def watched(self, world: World, tmp_path: Path) -> Watched:
        monitor = FakeMonitor(world)
        runtime = handlers(world, monitor, tmp_path).get("")

        def bundle() -> CreateContainer:
            identifier = new_container_id()
            directory = tmp_path / identifier
            directory.mkdir()
            document = {"linux": {"cgroupsPath": f"/pods/{identifier}"}}
            (directory / "config.json").write_text(json.dumps(document))
            return CreateContainer(identifier, runtime, directory)

        return Watched(monitor, runtime, bundle)


class TestFakeRootfs(RootfsContract):
    @pytest.fixture
    def rootfs(self, world: World) -> FakeRootfs:
        return FakeRootfs(world)


class TestFakeNetwork(NetworkContract):
    @pytest.fixture
    def network(self, world: World) -> FakeNetwork:
        return FakeNetwork(world)

    @pytest.fixture
    def pod(self, tmp_path: Path) -> MakePod:
        def make(name: str) -> PodNetwork:
            (tmp_path / name).touch()
            return PodNetwork(f"sandbox-{name}", tmp_path / name, "default", name, f"uid-{name}")

        return make

    @pytest.fixture
    def left(self, world: World) -> Left:
        return world.left


class TestFakeImages(ImagesContract):
    @pytest.fixture
    def images(self, world: World) -> FakeImages:
        for kind in ("layers", "images"):
            world.file(kind, IMAGE.id).touch()
        return FakeImages(world, [IMAGE])


def test_a_world_is_found_again_by_another_daemon(world: World) -> None:
    world.make("leases", "pod", "10.0.0.2")
    again = World(world.directory)
    assert again.left() == ["leases pod"]
    again.take("leases", "pod")
    assert world.left() == []


def test_every_change_is_announced_before_and_after(tmp_path: Path) -> None:
    told = list[str]()
    world = World(tmp_path, told.append)
    world.make("links", "pod")
    world.take("links", "pod")
    world.take("links", "pod")  # nothing changes
    assert told == ["before links made", "after links made", "before links removed", "after links removed"]


async def test_a_pull_brings_what_a_registry_has(world: World) -> None:
    images = FakeImages(world, [IMAGE])
    assert images.find(IMAGE.id) is None
    assert await images.pull(IMAGE.repo_tags[0]) == IMAGE
    assert images.find(IMAGE.id) == IMAGE
    assert FakeImages(world, [IMAGE]).find(IMAGE.id) == IMAGE


def test_layers_that_no_image_has_are_swept_by_the_next_store(world: World) -> None:
    world.make("layers", IMAGE.id)
    assert FakeImages(world, [IMAGE]).list() == []
    assert world.names("layers") == []
