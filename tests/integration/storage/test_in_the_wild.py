"""Layers as they are found on registries: what peers unpack is unpacked, and gives what they give."""

import asyncio
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

from storage.unpacker import CorruptLayer
from tests.integration.storage.conftest import OpenStore
from tests.integration.storage.support import Member, Registry, build_image, tar_bytes

pytestmark = pytest.mark.root

DIRECTORY, LINK, SYMLINK, BLOCK = tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.BLKTYPE
WHITEOUT = "whiteout"


@dataclass(frozen=True, slots=True)
class Wild:
    """A layer, and the tree that it is: content of a file, None of a directory, "whiteout" of a device."""

    members: list[Member]
    tree: dict[str, bytes | str | None]
    opaque: set[str] = field(default_factory=set)
    links: set[tuple[str, str]] = field(default_factory=set)


PLINKS = Member(".wh..wh.plnk", kind=DIRECTORY, mode=0o700)
PLINK = Member(".wh..wh.plnk/26.17", b"tool")
WILD = {
    "aufs: links that nobody uses": Wild(
        [PLINKS, PLINK, Member(".wh..wh.aufs"), Member(".wh..wh.orph", kind=DIRECTORY)], {}
    ),
    "aufs: what hides below its own directories": Wild(
        [PLINKS, Member(".wh..wh.orph/a", b"x"), Member(".wh..wh.plnk/d/e", b"x"), Member("f", b"f")],
        {"f": b"f"},
    ),
    "aufs: a file that is linked from there": Wild(
        [PLINKS, PLINK, Member("bin/tool", kind=LINK, link=".wh..wh.plnk/26.17")],
        {"bin": None, "bin/tool": b"tool"},
    ),
    "aufs: two names of one file": Wild(
        [PLINK, Member("a", kind=LINK, link="/.wh..wh.plnk/26.17"), Member("b", kind=LINK, link="a")],
        {"a": b"tool", "b": b"tool"},
        links={("a", "b")},
    ),
    "aufs: a link of the image that leads into it": Wild(
        [
            Member("s", kind=SYMLINK, link=".wh..wh.plnk"),
            PLINK,
            Member("s/d", kind=DIRECTORY),
            Member("s/d/f"),
        ],
        {"s": b".wh..wh.plnk"},
    ),
    "a whiteout before what the layer has of that name": Wild(
        [Member(".wh.a"), Member("a", b"new")], {"a": b"new"}
    ),
    "a whiteout behind what the layer has of that name": Wild(
        [Member("a", b"new"), Member(".wh.a")], {"a": b"new"}
    ),
    "a whiteout before the directory": Wild(
        [Member(".wh.d"), Member("d", kind=DIRECTORY), Member("d/a", b"a")],
        {"d": None, "d/a": b"a"},
        opaque={"d"},
    ),
    "a whiteout behind the directory": Wild(
        [Member("d", kind=DIRECTORY), Member("d/a", b"a"), Member(".wh.d")],
        {"d": None, "d/a": b"a"},
        opaque={"d"},
    ),
    "a whiteout, and those of what was below": Wild(
        [Member(".wh.d"), Member("d/.wh.a"), Member("d/e/.wh.b"), Member("d/.wh..wh..opq")], {"d": WHITEOUT}
    ),
    "a whiteout of a directory that no entry describes": Wild(
        [Member(".wh.d"), Member("d/e/a", b"a")], {"d": None, "d/e": None, "d/e/a": b"a"}, opaque={"d"}
    ),
    "a whiteout below a directory that is hidden deeper down": Wild(
        [Member("d", kind=DIRECTORY), Member("d/.wh.e"), Member("d/e/f/.wh.g"), Member("d/e2", b"")],
        {"d": None, "d/e": WHITEOUT, "d/e2": b""},
    ),
    "a link to a device": Wild(
        [Member("dev/sda", kind=BLOCK), Member("dev/sda1", kind=LINK, link="dev/sda")], {"dev": None}
    ),
    "dots within a name": Wild(
        [Member("u", kind=DIRECTORY), Member("u/v", kind=DIRECTORY), Member("u/v/../w", b"1")],
        {"u": None, "u/v": None, "u/w": b"1"},
    ),
    "attributes of overlayfs": Wild(
        [
            Member("etc", kind=DIRECTORY, pax={"SCHILY.xattr.user.overlay.impure": "y"}),
            Member("etc/a", b"1", pax={"SCHILY.xattr.user.overlay.origin": ""}),
            Member("etc/b", b"2", pax={"SCHILY.xattr.trusted.overlay.redirect": "/"}),
        ],
        {"etc": None, "etc/a": b"1", "etc/b": b"2"},
    ),
}


def seen(root: Path) -> dict[str, bytes | str | None]:
    """What a tree holds, as Wild has it."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = (
            os.fsencode(path.readlink())
            if stat.S_ISLNK(mode)
            else None
            if stat.S_ISDIR(mode)
            else WHITEOUT
            if stat.S_ISCHR(mode)
            else path.read_bytes()
        )
        found[str(path.relative_to(root))] = content
    return found


def opaque(root: Path) -> set[str]:
    """The directories that show nothing of the layers below."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_symlink() and "trusted.overlay.opaque" in os.listxattr(path)
    }


@pytest.mark.parametrize("name", WILD)
async def test_a_layer_is_what_the_peers_make_of_it(
    name: str, registry: Registry, open_store: OpenStore
) -> None:
    wild = WILD[name]
    repository = f"wild/{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    registry.push(repository, "v1", build_image([tar_bytes(wild.members)]))
    async with open_store(registry.host) as store:
        image = await store.pull(f"registry.test/{repository}:v1")
        root = store.layers.tree(image.layers[0])
        assert seen(root) == wild.tree
        assert opaque(root) == wild.opaque
        for one, other in wild.links:
            assert (root / one).samefile(root / other)
        record = store.layers.record(image.layers[0])
        assert record is not None
        assert record.inodes >= len(wild.tree) - len(wild.links)


async def test_what_is_dropped_in_the_end_is_not_counted(registry: Registry, open_store: OpenStore) -> None:
    members = [PLINKS, PLINK, Member(".wh..wh.plnk/2", b"x" * 9000), Member("a", kind=LINK, link=PLINK.name)]
    registry.push("wild/counted", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/wild/counted:v1")
        record = store.layers.record(image.layers[0])
        assert record is not None
        assert (record.inodes, record.disk_bytes) == (1, 4096)


async def test_a_file_in_the_place_of_a_directory_is_no_directory(
    registry: Registry, open_store: OpenStore
) -> None:
    registry.push("wild/file", "v1", build_image([tar_bytes([Member("a", b"1"), Member("a/b", b"2")])]))
    async with open_store(registry.host) as store:
        with pytest.raises(CorruptLayer, match="Not a directory"):
            await store.pull("registry.test/wild/file:v1")


@pytest.mark.parametrize("form", ["0.0", "0.1", "1.0"])
async def test_a_sparse_file_has_its_bytes_and_its_holes(
    form: str, registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    size = 5 << 20
    with (tmp_path / "disk.img").open("wb") as file:
        file.write(b"head")
        file.seek(3 << 20)
        file.write(b"tail")
        file.truncate(size)
    command = ["tar", "-C", str(tmp_path), "--sparse", "--format=posix", f"--sparse-version={form}", "-c"]
    tar = await asyncio.create_subprocess_exec(*command, "disk.img", stdout=asyncio.subprocess.PIPE)
    archive, _ = await tar.communicate()
    registry.push("wild/sparse", form, build_image([archive]))
    async with open_store(registry.host) as store:
        image = await store.pull(f"registry.test/wild/sparse:{form}")
        found = store.layers.tree(image.layers[0]) / "disk.img"
        assert found.read_bytes() == (b"head".ljust(3 << 20, b"\0") + b"tail").ljust(size, b"\0")
        assert found.stat().st_blocks * 512 < 1 << 20
        assert store.fs_info().used_bytes < 1 << 20


def long_window(data: bytes) -> bytes:
    """As ``zstd --long=30`` writes it: the frame wants a window of a gigabyte, and does not say its size."""
    told = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=told).compressobj()
    return compressor.compress(data) + compressor.flush()


async def test_a_window_of_zstd_of_a_gigabyte(registry: Registry, open_store: OpenStore) -> None:
    data = os.urandom(1 << 20) * 8
    compress: Callable[[bytes], bytes] = long_window
    registry.push("wild/window", "v1", build_image([tar_bytes([Member("big", data)])], compress=compress))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/wild/window:v1")
        assert (store.layers.tree(image.layers[0]) / "big").read_bytes() == data
