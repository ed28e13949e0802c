"""What every form of layers on disk does (storage/snapshots): unpacked by a real process, then stacked.

A subclass has fixtures ``snapshots`` and ``place``, a directory of a file system that can hold layers.
"""

import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from host.files import remove_tree
from host.mounts import MNT_DETACH, mountpoints_below, umount
from host.overlayfs import overlay
from storage.digest import Digest
from storage.snapshots.protocol import Snapshots
from storage.unpack.faults import Limits
from storage.unpacker import LayerSource, Unpacker
from tests.integration.storage.support import Member, tar_bytes

BASE = [
    Member("tmp", kind=b"5", mode=0o1777),
    Member("etc", kind=b"5", mode=0o750, uid=5, gid=6),
    Member("etc/hidden", b"1"),
    Member("etc/kept", b"kept" * 3000, mode=0o4755, uid=70_000, gid=7),
    Member("etc/link", kind=b"2", link="kept"),
    Member("etc/again", kind=b"1", link="etc/kept"),
    Member("etc/pipe", kind=b"6", mode=0o600),
    Member("opt", kind=b"5", mode=0o755),
    Member("opt/below", b"1"),
    Member("attributes", b"x", pax={"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.ima": "c"}),
]
ABOVE = [
    Member("etc/.wh.hidden"),
    Member("opt/.wh..wh..opq"),
    Member("opt/above", b"2"),
    Member("tmp/new", b"2"),
]
Described = dict[str, tuple[object, ...]]


def describe(root: Path) -> Described:
    """All that a process could tell of a tree: kinds, modes, owners, times, contents, links, attributes."""
    found: Described = {}
    linked: dict[int, str] = {}
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted([*names, *files, *([""] if directory == str(root) else [])]):
            path = Path(directory, name)
            entry = path.lstat()
            kind = stat.S_IFMT(entry.st_mode)
            content: object = entry.st_rdev
            if kind == stat.S_IFREG:
                content = path.read_bytes()
            elif kind == stat.S_IFLNK:
                content = str(path.readlink())
            shown = str(path.relative_to(root))
            same = linked.setdefault(entry.st_ino, shown) if kind != stat.S_IFDIR else shown
            attributes = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
                if not key.startswith("trusted.overlay")
            }
            found[shown] = (
                entry.st_mode,
                entry.st_uid,
                entry.st_gid,
                entry.st_mtime_ns,
                content,
                same,
                attributes,
            )
    return found


class SnapshotsContract:
    """Every test ends without mounts."""

    @pytest.fixture(autouse=True)
    def _no_mounts(self, place: Path) -> Iterator[None]:
        yield
        for path in mountpoints_below(place):
            umount(path, MNT_DETACH)

    async def _layer(
        self, snapshots: Snapshots, place: Path, name: str, members: Sequence[Member], *below: Path
    ) -> Path:
        data = tar_bytes(members)

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        scratch = place / "ingest" / name
        scratch.mkdir(parents=True)
        digest = Digest(hashlib.sha256(data).hexdigest())
        source = LayerSource(digest, digest, len(data), chunks)
        unpacked = await Unpacker(Limits()).unpack(source, snapshots.begin(scratch))
        snapshots.complete(scratch, unpacked, below)
        layer = place / "layers" / name
        layer.parent.mkdir(exist_ok=True)
        return scratch.rename(layer)

    async def test_a_stack_shows_what_its_layers_say(self, snapshots: Snapshots, place: Path) -> None:
        base = await self._layer(snapshots, place, "base", BASE)
        above = await self._layer(snapshots, place, "above", ABOVE, base)
        assert snapshots.is_whole(base)
        assert snapshots.is_whole(above)
        for name in ("upper", "work", "merged"):
            (place / name).mkdir()
        overlay(snapshots.lower([above, base]), place / "upper", place / "work", place / "merged")
        merged = place / "merged"
        shown = describe(merged)
        assert sorted(shown) == [
            ".",
            *("attributes", "etc", "etc/again", "etc/kept", "etc/link", "etc/pipe"),
            *("opt", "opt/above", "tmp", "tmp/new"),
        ]
        assert shown["etc/kept"] == shown["etc/again"]
        assert shown["etc/kept"][:3] == (stat.S_IFREG | 0o4755, 70_000, 7)
        assert shown["etc"][:4] == (stat.S_IFDIR | 0o750, 5, 6, 1_600_000_000_250_000_000)
        assert shown["tmp"][0] == stat.S_IFDIR | 0o1777
        assert shown["attributes"][6] == {"user.a": b"b", "security.ima": b"c"}
        (merged / "etc/kept").write_bytes(b"changed")
        assert (merged / "etc/again").read_bytes() == b"kept" * 3000

    async def test_a_layer_is_mounted_by_many_and_goes_while_they_have_it(
        self, snapshots: Snapshots, place: Path
    ) -> None:
        base = await self._layer(snapshots, place, "base", BASE)
        for number in range(2):
            merged = place / f"merged{number}"
            merged.mkdir()
            (place / "empty").mkdir(exist_ok=True)
            overlay([*snapshots.lower([base]), place / "empty"], None, None, merged)
        snapshots.release(base)
        snapshots.release(base)
        moved = base.rename(place / "gone")
        assert (place / "merged1/opt/below").read_bytes() == b"1"
        for number in range(2):
            umount(place / f"merged{number}")
        remove_tree(moved)
        assert not moved.exists()
        assert mountpoints_below(place) == []

    async def test_what_lacks_its_part_is_not_whole_and_cannot_be_stacked(
        self, snapshots: Snapshots, place: Path
    ) -> None:
        layer = place / "layers/none"
        layer.mkdir(parents=True)
        assert not snapshots.is_whole(layer)
        assert not snapshots.is_whole(place / "layers/nowhere")
        merged = place / "merged"
        merged.mkdir()
        with pytest.raises(FileNotFoundError):
            overlay(snapshots.lower([layer, layer]), None, None, merged)
