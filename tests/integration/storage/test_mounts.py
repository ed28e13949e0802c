"""host/mounts against the kernel: binds, tmpfs, overlays of many layers, and the older mount(2) path."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from host import mounts, overlayfs

pytestmark = pytest.mark.root


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    mounts.mount_tmpfs(tmp_path)
    mounts.make_private(tmp_path)
    yield tmp_path
    for path in mounts.mountpoints_below(tmp_path):
        mounts.umount(path, mounts.MNT_DETACH)


def make_layers(scratch: Path, count: int) -> list[Path]:
    layers = []
    for index in range(count):
        layer = scratch / f"layers/{index:04d}-{'x' * 60}"
        layer.mkdir(parents=True)
        (layer / "top").write_text(str(index))
        (layer / f"file{index}").write_text("")
        layers.append(layer)
    return layers


def overlay_directories(scratch: Path) -> tuple[Path, Path, Path]:
    directories = scratch / "upper", scratch / "work", scratch / "merged"
    for directory in directories:
        directory.mkdir()
    return directories


@pytest.mark.parametrize("count", [1, 40, 200])
def test_an_overlay_shows_the_uppermost_of_many_layers(scratch: Path, count: int) -> None:
    layers = make_layers(scratch, count)
    upper, work, merged = overlay_directories(scratch)
    overlayfs.overlay(layers[::-1], upper, work, merged)
    assert (merged / "top").read_text() == str(count - 1)
    assert (merged / "file0").exists()
    (merged / "new").write_text("n")
    assert (upper / "new").read_text() == "n"
    assert mounts.is_mountpoint(merged)
    assert mounts.umount_if_mounted(merged)
    assert not mounts.umount_if_mounted(merged)


@pytest.mark.parametrize("count", [1, 20, 120])
def test_the_mount2_path_gives_the_same_overlay(scratch: Path, count: int) -> None:
    layers = make_layers(scratch, count)
    upper, work, merged = overlay_directories(scratch)
    overlayfs._overlay_by_options(layers[::-1], upper, work, merged, (), mounts.MOUNT_ATTR_NODEV)
    assert (merged / "top").read_text() == str(count - 1)
    assert len(list(merged.glob("file*"))) == count


def test_an_overlay_error_carries_the_kernels_words(scratch: Path) -> None:
    upper, work, merged = overlay_directories(scratch)
    with pytest.raises(OSError, match=r"no-such-layer|resolve"):
        overlayfs.overlay([scratch / "no-such-layer"], upper, work, merged)
    assert not mounts.is_mountpoint(merged)


def test_a_read_only_bind_refuses_writes_and_leaves_the_source_writable(scratch: Path) -> None:
    (scratch / "source").mkdir()
    (scratch / "target").mkdir()
    mounts.bind(scratch / "source", scratch / "target", readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        (scratch / "target/file").write_text("")
    (scratch / "source/file").write_text("shown")
    assert (scratch / "target/file").read_text() == "shown"


def test_unmounting_order_is_deepest_first(scratch: Path) -> None:
    (scratch / "a").mkdir()
    mounts.mount_tmpfs(scratch / "a", "size=64k,mode=0700")
    (scratch / "a/b").mkdir()
    mounts.mount_tmpfs(scratch / "a/b")
    assert mounts.mountpoints_below(scratch / "a") == [scratch / "a/b", scratch / "a"]
    for path in mounts.mountpoints_below(scratch / "a"):
        mounts.umount(path)
    assert [path.name for path in (scratch / "a").iterdir()] == []


def test_remove_tree_stops_at_a_bind_mount(scratch: Path) -> None:
    from host.files import remove_tree

    (scratch / "data").mkdir()
    (scratch / "data/precious").write_text("p")
    (scratch / "tree/mnt").mkdir(parents=True)
    mounts.bind(scratch / "data", scratch / "tree/mnt")
    with pytest.raises(OSError, match="mount point"):
        remove_tree(scratch / "tree")
    assert (scratch / "data/precious").read_text() == "p"
