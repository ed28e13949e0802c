"""Root file systems: what a container sees, what it leaves, and what a crash or reboot leaves."""

import asyncio
import json
import stat
import tarfile
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.ids import ContainerId, new_container_id
from host import mounts
from host.files import remove_tree
from host.overlayfs import overlay
from storage.catalogue import Image
from storage.images import Images
from storage.overlay import RootfsManager, RootfsNotFound
from storage.rootfs_rows import ImageNotFound, RootfsExists
from storage.trash import AT_ONCE, Trash
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import (
    OCI_MANIFEST,
    Member,
    build_image,
    descriptor,
    names,
    sha256,
    tar_bytes,
)

pytestmark = pytest.mark.root

DIRECTORY = tarfile.DIRTYPE


async def add(store: Images, layers: list[list[Member]], name: str) -> Image:
    """Import an image of ``layers`` under ``name``."""
    built = build_image([tar_bytes(members) for members in layers], label=name)
    directory = store.root.parent / f"layout-{name}"
    (directory / "blobs/sha256").mkdir(parents=True)
    for digest, data in {**built.blobs, "manifest": built.manifest}.items():
        (directory / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    manifest = directory / "blobs/sha256/manifest"
    manifest.rename(manifest.with_name(sha256(built.manifest).removeprefix("sha256:")))
    index = {"schemaVersion": 2, "manifests": [descriptor(OCI_MANIFEST, built.manifest)]}
    (directory / "index.json").write_text(json.dumps(index))
    [image] = await store.import_archive(directory, f"{name}:latest")
    return image


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Images]:
    async with open_store("127.0.0.1:1") as opened:
        yield opened


@pytest.fixture
def rootfs(store: Images) -> RootfsManager:
    return RootfsManager(store.root, store.database, store.layers, usage_ttl_s=0.0)


LAYERS = [
    [
        Member("tmp", kind=DIRECTORY, mode=0o1777),
        Member("etc", kind=DIRECTORY, mode=0o750, uid=5),
        Member("etc/hidden", b"1"),
        Member("etc/kept", b"1"),
        Member("opt", kind=DIRECTORY, mode=0o755),
        Member("opt/below", b"1"),
        Member("both", kind=DIRECTORY, mode=0o755),
        Member("both/below", b"1"),
    ],
    [
        Member("etc/.wh.hidden"),
        Member("opt/.wh..wh..opq"),
        Member("opt/above", b"2"),
        Member("tmp/new", b"2"),
        Member(".wh.both"),
        Member("both", kind=DIRECTORY, mode=0o755),
        Member("both/above", b"2"),
    ],
]


async def test_whiteouts_hide_and_implied_directories_keep_their_description(
    store: Images, rootfs: RootfsManager
) -> None:
    image = await add(store, LAYERS, "whiteouts")
    path = await rootfs.prepare(new_container_id(), image)
    assert names(path / "etc") == ["kept"]
    assert names(path / "opt") == ["above"]
    assert names(path / "both") == ["above"]
    assert stat.S_IMODE((path / "tmp").stat().st_mode) == 0o1777
    assert (stat.S_IMODE((path / "etc").stat().st_mode), (path / "etc").stat().st_uid) == (0o750, 5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


async def test_a_root_filesystem_is_writable_its_image_untouched_and_nothing_stays(
    store: Images, rootfs: RootfsManager
) -> None:
    image = await add(store, LAYERS, "writable")
    before = contents(store)
    one, two = new_container_id(), new_container_id()
    first, second = await asyncio.gather(rootfs.prepare(one, image), rootfs.prepare(two, image))
    (first / "etc/kept").write_text("changed")
    (first / "new").write_bytes(bytes(100_000))
    assert (second / "etc/kept").read_text() == "1"
    size, inodes = await rootfs.usage(one)
    assert size >= 100_000
    assert inodes == 4  # the top, etc, etc/kept and new
    assert rootfs.known() == {one, two}
    with pytest.raises(RootfsExists):
        await rootfs.prepare(one, image)
    assert (first / "new").exists()
    await asyncio.gather(*(rootfs.remove(container) for container in (one, two, one)))
    assert contents(store) == {**before, "top": before["top"]}
    assert rootfs.known() == set()
    assert mounts.mountpoints_below(store.root) == []
    with pytest.raises(RootfsNotFound):
        await rootfs.usage(one)


async def test_layers_outlive_their_image_while_a_container_uses_them(
    store: Images, rootfs: RootfsManager
) -> None:
    image = await add(store, LAYERS, "in-use")
    container = new_container_id()
    path = await rootfs.prepare(container, image)
    await store.remove("in-use")
    assert store.list() == []
    assert (path / "etc/kept").read_text() == "1"
    assert contents(store)["layers"] == 2
    with pytest.raises(ImageNotFound):
        await rootfs.prepare(new_container_id(), image)
    await rootfs.remove(container)
    assert contents(store)["layers"] == 0


@pytest.mark.parametrize("count", [1, 200])
async def test_images_of_many_layers_mount(count: int, store: Images, rootfs: RootfsManager) -> None:
    layers = [[Member("top", str(index).encode()), Member(f"f{index}")] for index in range(count)]
    image = await add(store, layers, f"many{count}")
    path = await rootfs.prepare(new_container_id(), image)
    assert (path / "top").read_text() == str(count - 1)
    assert len(names(path)) == count + 1


async def test_an_image_without_layers_has_an_empty_root(store: Images, rootfs: RootfsManager) -> None:
    image = await add(store, [], "scratch")
    path = await rootfs.prepare(new_container_id(), image)
    assert names(path) == []
    (path / "file").write_text("x")


async def test_after_a_reboot_mounts_return_and_rubbish_goes(store: Images, rootfs: RootfsManager) -> None:
    image = await add(store, LAYERS, "reboot")
    container = new_container_id()
    path = await rootfs.prepare(container, image)
    (path / "written").write_text("kept")
    mounts.umount(path)
    leftover = rootfs.path(ContainerId("leftover"))
    leftover.mkdir(parents=True)
    mounts.mount_tmpfs(leftover)
    again = RootfsManager(store.root, store.database, store.layers)
    await again.restore()
    assert (path / "written").read_text() == "kept"
    assert not leftover.parent.exists()
    await again.restore()
    assert len(mounts.mountpoints_below(store.root)) == 1


async def test_a_half_removed_root_filesystem_waits_for_its_removal(
    store: Images, rootfs: RootfsManager, caplog: pytest.LogCaptureFixture
) -> None:
    image = await add(store, LAYERS, "half")
    container, other = new_container_id(), new_container_id()
    path, whole = await rootfs.prepare(container, image), await rootfs.prepare(other, image)
    for one in (path, whole):
        mounts.umount(one)
    remove_tree(path.parent / "upper")  # as far as a removal came before it was killed
    again = RootfsManager(store.root, store.database, store.layers)
    assert await again.restore() == {}
    assert mounts.mountpoints_below(store.root) == [whole]
    assert caplog.messages == []
    await again.remove(container)
    assert again.known() == {other}
    assert not path.parent.exists()


async def test_many_root_filesystems_cost_one_look_at_the_mount_table(
    store: Images, rootfs: RootfsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await add(store, LAYERS, "many")
    containers = [new_container_id() for _ in range(6)]
    paths = [await rootfs.prepare(container, image) for container in containers]
    for path in paths[::2]:
        mounts.umount(path)
    for leftover in ("one", "two"):
        rootfs.path(ContainerId(leftover)).mkdir(parents=True)
    looks = 0

    def counted() -> list[mounts.Mount]:
        nonlocal looks
        looks += 1
        return mounts.mounts()

    monkeypatch.setattr("storage.overlay.mounts", counted)
    await rootfs.restore()
    assert sorted(mounts.mountpoints_below(store.root)) == sorted(paths)
    assert looks == 2  # with leftovers to unmount, once before they are


async def test_an_unmount_waits_for_no_disk(store: Images, rootfs: RootfsManager) -> None:
    path = await rootfs.prepare(new_container_id(), await add(store, LAYERS, "volatile"))
    [mount] = [mount for mount in mounts.mounts() if mount.mountpoint == path]
    assert {"volatile", "fsync=volatile"}.intersection(mount.super_options)  # newer kernels say it so


async def test_a_busy_root_filesystem_is_still_removed(store: Images, rootfs: RootfsManager) -> None:
    image = await add(store, LAYERS, "busy")
    container = new_container_id()
    path = await rootfs.prepare(container, image)
    (path / "inside").mkdir()
    mounts.mount_tmpfs(path / "inside")
    with (path / "etc/kept").open() as held:
        await rootfs.remove(container)
        assert held.read() == "1"
    assert rootfs.known() == set()
    assert not path.parent.exists()


async def test_a_caller_that_goes_away_leaves_no_root_filesystem(
    store: Images, rootfs: RootfsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await add(store, LAYERS, "cancelled")
    before = contents(store)
    reached, go_on = threading.Event(), threading.Event()
    mounted: list[int] = []

    def held(*arguments: Any, **options: Any) -> None:
        reached.set()
        go_on.wait(60)
        overlay(*arguments, **options)
        mounted.append(len(mounts.mountpoints_below(store.root)))

    monkeypatch.setattr("storage.overlay.overlay", held)
    task = asyncio.create_task(rootfs.prepare(new_container_id(), image))
    assert await asyncio.to_thread(reached.wait, 60)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mounted == [1]  # it was made to its end, and taken away
    assert rootfs.known() == set()
    assert contents(store) == before
    assert mounts.mountpoints_below(store.root) == []


async def test_what_is_large_is_in_no_list_at_once_and_is_counted_until_it_is_gone(
    store: Images, rootfs: RootfsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(store, [[Member(f"f{number}", b"x") for number in range(2 * AT_ONCE)]], "large")
    [image] = store.list()
    container = new_container_id()
    path = await rootfs.prepare(container, image)
    for number in range(2 * AT_ONCE):
        (path / f"own{number}").write_bytes(b"y")
    measured = await rootfs.usage(container)
    full = store.fs_info()
    monkeypatch.setattr(Trash, "begin", lambda _: None)  # as if nothing were ever done behind
    await store.remove(image.id)
    await rootfs.remove(container)
    assert store.list() == []
    assert rootfs.known() == set()
    assert contents(store) == {
        **dict.fromkeys(contents(store), 0),
        "ingest": 2,
        "top": contents(store)["top"],
    }
    going = store.fs_info()
    assert going.used_bytes == full.used_bytes + measured[0]
    assert going.inodes_used == full.inodes_used + measured[1]
    monkeypatch.undo()
    await store.settle()
    assert contents(store)["ingest"] == 0
    assert store.fs_info().used_bytes == 0


async def test_what_a_crash_left_behind_is_swept(store: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(store, [[Member(f"f{number}", b"x") for number in range(2 * AT_ONCE)]], "large")
    [image] = store.list()
    monkeypatch.setattr(Trash, "begin", lambda _: None)
    await store.remove(image.id)
    assert contents(store)["ingest"] == 1
    monkeypatch.undo()
    assert store.layers.sweep() == {}
    await store.settle()
    assert contents(store)["ingest"] == 0
