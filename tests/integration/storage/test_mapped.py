"""Root file systems and image volumes of containers whose ids are mapped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ids import new_container_id
from host import mounts
from host.namespaces import Kind, unpin
from host.userns import pin_owned
from storage.images import Images
from storage.overlay import RootfsManager
from tests.integration.storage.test_overlay import LAYERS, add, rootfs, store

pytestmark = pytest.mark.root

__all__ = ["rootfs", "store"]  # fixtures

FIRST = 3949199360


@pytest.fixture
def userns(tmp_path: Path) -> Iterator[Path]:
    pinned = pin_owned((), tmp_path / "ns", [(0, FIRST, 65536)], [(0, FIRST, 65536)])
    yield pinned[Kind.USER]
    unpin(pinned[Kind.USER])


async def test_owners_are_mapped_in_all_layers_and_in_the_writable_one(
    store: Images, rootfs: RootfsManager, userns: Path
) -> None:
    image = await add(store, LAYERS, "mapped")
    container = new_container_id()
    path = await rootfs.prepare(container, image, userns)
    for name, uid in ((".", 0), ("etc", 5), ("etc/kept", 0), ("opt/above", 0)):
        assert (path / name).stat().st_uid == FIRST + uid, name
    (path / "etc/kept").chmod(0o600)  # copied up: with its owner
    assert (path.parent / "upper/etc/kept").stat().st_uid == FIRST
    plain = await rootfs.prepare(new_container_id(), image)
    assert (plain / "etc").stat().st_uid == 5
    assert len(mounts.mountpoints_below(store.root)) == 2
    await rootfs.remove(container)
    assert not path.parent.exists()


async def test_an_image_volume_is_mapped_with_its_container(
    store: Images, rootfs: RootfsManager, userns: Path
) -> None:
    image = await add(store, LAYERS, "volume")
    container = new_container_id()
    await rootfs.prepare(container, image, userns)
    volume = rootfs.image_volumes.mount(container, 0, image)
    assert (volume / "etc").stat().st_uid == FIRST + 5
    await rootfs.remove(container)
    assert mounts.mountpoints_below(store.root) == []


async def test_it_is_mounted_again_while_the_namespace_is_there(
    store: Images, rootfs: RootfsManager, userns: Path
) -> None:
    image = await add(store, LAYERS, "again")
    path = await rootfs.prepare(new_container_id(), image, userns)
    mounts.umount(path)
    await rootfs.restore()
    assert (path / "etc").stat().st_uid == FIRST + 5


async def test_without_the_namespace_it_stays_unmounted_and_can_be_removed(
    store: Images, rootfs: RootfsManager, userns: Path
) -> None:
    image = await add(store, LAYERS, "without")
    container = new_container_id()
    path = await rootfs.prepare(container, image, userns)
    mounts.umount(path)
    unpin(userns)
    await rootfs.restore()
    assert mounts.mountpoints_below(store.root) == []
    await rootfs.remove(container)
    assert not path.parent.exists()
