"""Pulls from a real registry: what arrives, what is refused, and that a failure leaves nothing."""

import asyncio
import base64
import gzip
import hashlib
import json
import logging
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import aiohttp.web
import pytest
import zstandard

from api.errors import NotFound
from storage.digest import DigestMismatch
from storage.images import Images
from storage.manifest import BadManifest, this_platform
from storage.registry.auth import Credentials
from storage.registry.errors import ManifestUnknown, RegistryUnavailable, Unauthorized, UnexpectedAnswer
from storage.unpack.faults import Limits
from storage.unpacker import (
    CorruptLayer,
    HostileLayer,
    LayerTooLarge,
    StorageFull,
    TruncatedLayer,
    UnpackFailed,
)
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import (
    OCI_INDEX,
    OCI_MANIFEST,
    BuiltImage,
    Member,
    Registry,
    build_image,
    cutting_proxy,
    descriptor,
    names,
    running_registry,
    sha256,
    tar_bytes,
)

pytestmark = pytest.mark.root

GOOD = [
    Member("etc", kind=tarfile.DIRTYPE, mode=0o755),
    Member("etc/passwd", b"root:x:0:0::/:/bin/sh\n", uid=3, gid=4, mode=0o640),
    Member("bin", kind=tarfile.DIRTYPE, mode=0o1777, uid=7, gid=8),
    Member("bin/tool", os.urandom(300_000), mode=0o4755, uid=9),
    Member("bin/again", kind=tarfile.LNKTYPE, link="bin/tool", mode=0o4755, uid=9),
    Member("bin/link", kind=tarfile.SYMTYPE, link="/etc/passwd", mode=0o777),
    Member("fifo", kind=tarfile.FIFOTYPE, mode=0o600),
    Member("long/" + "n" * 120 + "/" + "m" * 150, b"deep"),
    Member("attributes", b"x", pax={"SCHILY.xattr.user.colour": "blue"}),
]


def describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything about every entry of a tree that an image decides."""
    result: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        found = path.lstat()
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        implied = path.name == "long" or path.name.startswith("nnn")
        result[str(path.relative_to(root))] = (
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_nlink,
            None if implied else found.st_mtime_ns,
            content,
            sorted(os.listxattr(path, follow_symlinks=False)),
        )
    return result


async def test_a_pulled_layer_is_what_tar_extracts(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    archive = tar_bytes(GOOD)
    registry.push("team/good", "v1", build_image([archive], config={"User": "9:9", "Cmd": ["sh"]}))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/good:v1")
        assert image.repo_tags == ("registry.test/team/good:v1",)
        assert image.repo_digests[0].startswith("registry.test/team/good@sha256:")
        assert (image.user, image.config.cmd, image.config.env) == ("9:9", ("sh",), ("A=b",))
        reference = tmp_path / "reference"
        reference.mkdir()
        (tmp_path / "layer.tar").write_bytes(archive)
        tar = await asyncio.create_subprocess_exec(
            "tar", "--xattrs", "--xattrs-include=*", "-xpf", str(tmp_path / "layer.tar"), "-C", str(reference)
        )
        assert await tar.wait() == 0
        assert describe(store.layers.tree(image.layers[0])) == describe(reference)
        assert store.fs_info().used_bytes > 300_000


async def test_a_set_group_id_directory_gives_its_group_to_nothing(
    registry: Registry, open_store: OpenStore
) -> None:
    members = [
        Member("mail", kind=tarfile.DIRTYPE, mode=0o2775, gid=8),
        Member("mail/file", b"x"),
        Member("mail/tool", b"x", mode=0o6755),
        Member("mail/link", kind=tarfile.SYMTYPE, link="file"),
        Member("mail/fifo", kind=tarfile.FIFOTYPE),
        Member("mail/plain", kind=tarfile.DIRTYPE, mode=0o700),
        Member("mail/implied/below/file", b"x", uid=3),
    ]
    registry.push("team/set-group-id", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/set-group-id:v1")
        mail = store.layers.tree(image.layers[0]) / "mail"
        found = {str(path.relative_to(mail)): path.lstat() for path in mail.rglob("*")}
        assert {name: one.st_gid for name, one in found.items() if one.st_gid} == {}
        assert stat.S_IMODE(found["tool"].st_mode) == 0o6755
        assert stat.S_IMODE(found["plain"].st_mode) == 0o700
        assert stat.S_IMODE(found["implied"].st_mode) == 0o755
        assert stat.S_IMODE(found["implied/below"].st_mode) == 0o755
        assert stat.S_IMODE(mail.stat().st_mode) == 0o2775
        assert mail.stat().st_gid == 8


async def test_found_by_every_name_and_gone_after_removal(registry: Registry, open_store: OpenStore) -> None:
    image = build_image([tar_bytes([Member("a", b"names")])], label="names")
    registry.push("team/names", "latest", image)
    registry.push("other/names", "v2", image)
    async with open_store(registry.host) as store:
        empty = contents(store)
        first = await store.pull("registry.test/team/names")
        second = await store.pull("registry.test/other/names:v2")
        assert first.id == second.id == sha256(image.config)
        bare = first.id.removeprefix("sha256:")
        texts = [first.id, bare, bare[:12], f"sha256:{bare[:7]}", *second.repo_tags, *second.repo_digests]
        for text in [*texts, "registry.test/team/names"]:
            assert store.find(text) == second, text
        for text in ["registry.test/team/nam", "ffff" * 16, "registry.test/team/names:v2", "", "::"]:
            assert store.find(text) is None, text
        await asyncio.gather(*(store.remove(first.id) for _ in range(5)))
        assert store.list() == []
        assert store.find("registry.test/team/names") is None
        assert contents(store) == empty


async def test_a_tag_that_moves_leaves_the_first_image_without_it(
    registry: Registry, open_store: OpenStore
) -> None:
    async with open_store(registry.host) as store:
        registry.push("team/moving", "x", build_image([tar_bytes([Member("a", b"1")])], label="m1"))
        first = await store.pull("registry.test/team/moving:x")
        registry.push("team/moving", "x", build_image([tar_bytes([Member("a", b"2")])], label="m2"))
        second = await store.pull("registry.test/team/moving:x")
        assert first.id != second.id
        known = store.find(first.id)
        assert known is not None
        assert known.repo_tags == ()
        assert store.find("registry.test/team/moving:x") == second


async def test_an_index_gives_the_image_of_this_platform(registry: Registry, open_store: OpenStore) -> None:
    mine = build_image([tar_bytes([Member("mine", b"1")])], label="mine")
    other = build_image([tar_bytes([Member("other", b"1")])], label="other")
    entries = []
    for image, architecture in ((other, "s390x"), (mine, "amd64"), (other, "arm64")):
        registry.push("team/multi", architecture, image)
        entry = descriptor("application/vnd.oci.image.manifest.v1+json", image.manifest)
        entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    registry.put_manifest("team/multi", "v1", index, OCI_INDEX)
    async with open_store(registry.host) as store:
        image_ = await store.pull("registry.test/team/multi:v1")
        assert image_.id == sha256(mine.config)
        assert image_.repo_digests == (
            f"registry.test/team/multi@{sha256(index)}",
            f"registry.test/team/multi@{sha256(mine.manifest)}",
        )
        assert await store.pull(f"registry.test/team/multi@{sha256(index)}") == image_


COMPRESSIONS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in frames": lambda data: (
        b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
        + zstandard.compress(data[:900])
        + zstandard.compress(data[900:])
    ),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
async def test_every_compression_gives_the_same_tree(
    name: str, registry: Registry, open_store: OpenStore
) -> None:
    data = os.urandom(1000) * 3000
    image = build_image([tar_bytes([Member("file", data)])], compress=COMPRESSIONS[name])
    repository = f"team/{name.replace(' ', '-')}"
    registry.push(repository, "v1", image)
    async with open_store(registry.host) as store:
        pulled = await store.pull(f"registry.test/{repository}:v1")
        assert (store.layers.tree(pulled.layers[0]) / "file").read_bytes() == data


HOSTILE = {
    "dotdot": [Member("../escape", b"x")],
    "dotdot inside": [Member("a/../../escape", b"x")],
    "dotdot after a slash": [Member("/../escape", b"x")],
    "hard link outside": [Member("a", kind=tarfile.LNKTYPE, link="../../../../etc/passwd")],
    "whiteout of the parent": [Member(".wh...")],
    "whiteout of itself": [Member("d/.wh..")],
}


# What is in order by itself and cannot be made: the fault is the entry's, never ours.
ODD: dict[str, list[Member]] = {
    "link with a zero byte": [Member("a", kind=tarfile.SYMTYPE, pax={"linkpath": "x\0y"})],
    "hard link with a zero byte": [Member("a", kind=tarfile.LNKTYPE, pax={"linkpath": "x\0y"})],
    "name with a zero byte": [Member("a", b"x", pax={"path": "x\0y"})],
    "attribute with a zero byte": [Member("a", b"x", pax={"SCHILY.xattr.user.a\0": "y"})],
    "attribute without a name": [Member("a", b"x", pax={"SCHILY.xattr.user.": "y"})],
    "owner beyond 32 bits": [Member("a", b"x", pax={"uid": str(1 << 32)})],
    "owner beyond 64 bits": [Member("a", b"x", pax={"gid": str(10**19)})],
    "time beyond 64 bits": [Member("a", b"x", pax={"mtime": "1" * 20})],
    "component too long": [Member("n" * 300, b"x")],
}


@pytest.mark.parametrize("name", ODD)
async def test_an_entry_that_cannot_be_made_is_named_and_leaves_nothing(
    name: str, registry: Registry, open_store: OpenStore
) -> None:
    image = build_image([tar_bytes([Member("first", b"1"), *ODD[name]])], label=name)
    repository = f"odd/{name.replace(' ', '-')}"
    registry.push(repository, "v1", image)
    async with open_store(registry.host) as store:
        before = contents(store)
        with pytest.raises((CorruptLayer, HostileLayer)) as caught:
            await store.pull(f"registry.test/{repository}:v1")
        assert caught.value.entry
        assert contents(store) == before


async def test_a_directory_that_becomes_a_loop_of_links_has_no_time_to_be_set(
    registry: Registry, open_store: OpenStore
) -> None:
    members = [
        Member("d", kind=tarfile.DIRTYPE),
        Member("e", kind=tarfile.DIRTYPE),
        Member("e/f", kind=tarfile.DIRTYPE),
        Member("d", kind=tarfile.SYMTYPE, link="d"),
        Member("e", kind=tarfile.SYMTYPE, link="d"),
        Member("z", b"x"),
    ]
    registry.push("odd/loop", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/odd/loop:v1")
        tree = store.layers.tree(image.layers[0])
        assert {path.name: path.is_symlink() for path in tree.iterdir()} == {"d": True, "e": True, "z": False}


async def test_a_layer_leaves_the_disk_its_reserve(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    data = bytes(80 << 20)
    registry.push("team/reserve", "v1", build_image([tar_bytes([Member("zeros", data)])]))
    place = tmp_path / "store"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=88m,mode=0700", "reserve", str(place)]
    await asyncio.to_thread(subprocess.run, mount, check=True)
    async with open_store(registry.host) as store:
        before = contents(store)
        with pytest.raises(StorageFull, match="kept free"):
            await store.pull("registry.test/team/reserve:v1")
        assert contents(store) == before
    async with open_store(registry.host, limits=Limits(reserve_bytes=0)) as store:
        assert (await store.pull("registry.test/team/reserve:v1")).size_bytes > len(data)


async def test_a_slow_registry_holds_up_its_own_layers_only(
    registry: Registry, open_store: OpenStore
) -> None:
    """Every place of the slow one is taken, by layers of which a byte comes now and then."""
    registry.push("team/honest", "v1", build_image([tar_bytes([Member("h", b"h")])]))
    layers = [tar_bytes([Member(f"slow{index}", b"x")]) for index in range(3)]
    images = [build_image([layers[index]], label=f"slow{index}") for index in range(3)]
    asked = 0

    async def settle(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    async def slow(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        nonlocal asked
        reference = request.path.rpartition("/")[2]
        if "/manifests/" in request.path:
            return aiohttp.web.Response(body=images[int(reference)].manifest)
        for image in images:
            if reference == sha256(image.config):
                return aiohttp.web.Response(body=image.config)
        asked += 1
        response = aiohttp.web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\x1f")
                await asyncio.sleep(0.01)
        except ConnectionError:
            return response

    application = aiohttp.web.Application()
    application.router.add_get("/v2/", settle)
    application.router.add_get("/v2/{rest:.+}", slow)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with open_store(registry.host, insecure=[host], parallel_layers=2, total_layers=3) as store:
            pulls = [asyncio.create_task(store.pull(f"{host}/a:{index}")) for index in range(3)]
            while asked < 2:
                await asyncio.sleep(0.01)
            await store.pull("registry.test/team/honest:v1")
            assert asked == 2, "the third waits for a place of its registry"
            for pull in pulls:
                pull.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_layer_is_refused_by_name_and_leaves_nothing(
    name: str, registry: Registry, open_store: OpenStore
) -> None:
    good = tar_bytes([Member("base", name.encode())])
    image = build_image([good, tar_bytes([Member("first", b"1"), *HOSTILE[name]])], label=name)
    repository = f"hostile/{name.replace(' ', '-')}"
    registry.push(repository, "v1", image)
    async with open_store(registry.host) as store:
        before = contents(store)
        with pytest.raises(HostileLayer, match=image.layer_digests[1]) as caught:
            await store.pull(f"registry.test/{repository}:v1")
        assert caught.value.entry == HOSTILE[name][0].name
        assert contents(store) == before


async def test_attributes_of_overlayfs_itself_are_passed_over(
    registry: Registry, open_store: OpenStore
) -> None:
    """Images that were committed from an overlay have them, and the peers pull those."""
    names = (
        "trusted.overlay.redirect",
        "trusted.overlay.opaque",
        "user.overlay.origin",
        "user.overlay.impure",
    )
    pax = {f"SCHILY.xattr.{name}": "y" for name in names}
    members = [Member("d", kind=tarfile.DIRTYPE, pax=pax), Member("d/f", b"x", pax=pax)]
    registry.push("team/overlay", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/overlay:v1")
        tree = store.layers.tree(image.layers[0])
        assert [os.listxattr(tree / name) for name in ("d", "d/f")] == [[], []]


async def test_signatures_of_integrity_are_set_where_the_kernel_takes_them_and_never_fail_a_pull(
    registry: Registry, open_store: OpenStore
) -> None:
    """As containers/storage and containerd do; what a kernel thinks of them is its own affair."""
    pax = {"SCHILY.xattr.security.ima": "\x01hash", "SCHILY.xattr.security.evm": "\x02x"}
    members = [Member("f", b"x", pax=pax), Member("d", kind=tarfile.DIRTYPE, pax=pax)]
    registry.push("team/ima", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/ima:v1")
        assert (store.layers.tree(image.layers[0]) / "f").read_bytes() == b"x"


async def test_absolute_names_are_below_the_root_of_the_layer(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    members = [
        Member("/", kind=tarfile.DIRTYPE, mode=0o711, uid=5, gid=6),
        Member(f"{outside}/file", b"kept in"),
        Member("/ko-app", b"app", mode=0o755, uid=3),
        Member("/again", kind=tarfile.LNKTYPE, link="/ko-app"),
    ]
    registry.push("team/absolute", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/absolute:v1")
        tree = store.layers.tree(image.layers[0])
        root, app = tree.stat(), (tree / "ko-app").stat()
        assert (stat.S_IMODE(root.st_mode), root.st_uid, root.st_gid) == (0o711, 5, 6)
        assert (stat.S_IMODE(app.st_mode), app.st_uid, app.st_nlink) == (0o755, 3, 2)
        assert (tree / outside.relative_to("/") / "file").read_bytes() == b"kept in"
    assert not outside.exists()
    assert not Path("/ko-app").exists()


async def test_device_nodes_of_a_layer_are_not_made(
    registry: Registry, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    members = [
        Member("dev/console", kind=tarfile.CHRTYPE, mode=0o600),
        Member("dev/sda", kind=tarfile.BLKTYPE, mode=0o660),
        Member("file", b"x"),
    ]
    registry.push("team/devices", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/devices:v1")
        tree = store.layers.tree(image.layers[0])
        assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*")) == ["dev", "file"]
    [told] = [record.getMessage() for record in caplog.records if "device nodes" in record.getMessage()]
    assert told.endswith("count=2")


async def test_links_to_device_nodes_are_passed_over_with_them(
    registry: Registry, open_store: OpenStore
) -> None:
    members = [
        Member("dev/sda", kind=tarfile.BLKTYPE),
        Member("dev/one", kind=tarfile.LNKTYPE, link="dev/sda"),
        Member("two", kind=tarfile.LNKTYPE, link="dev/one"),
        Member("u/v/../w", b"x"),
    ]
    registry.push("team/linked-devices", "v1", build_image([tar_bytes(members)]))
    async with open_store(registry.host) as store:
        image = await store.pull("registry.test/team/linked-devices:v1")
        tree = store.layers.tree(image.layers[0])
        assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*")) == ["dev", "u", "u/w"]


async def test_an_index_in_an_index_is_followed_a_few_levels(
    registry: Registry, open_store: OpenStore
) -> None:
    image = build_image([tar_bytes([Member("n", b"nested")])])
    registry.push("team/nested", "v1", image)
    document, platform = image.manifest, {"os": "linux", "architecture": this_platform().architecture}
    media_type = OCI_MANIFEST
    for level in range(1, 6):
        entry = {**descriptor(media_type, document), "platform": platform}
        document = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
        media_type = OCI_INDEX
        registry.put_manifest("team/nested", f"level{level}", document, OCI_INDEX)
    async with open_store(registry.host) as store:
        for level in (1, 2, 3):
            assert (await store.pull(f"registry.test/team/nested:level{level}")).id == sha256(image.config)
        with pytest.raises(BadManifest, match="inside one another"):
            await store.pull("registry.test/team/nested:level5")


async def test_links_cannot_carry_a_file_out_of_the_layer(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    members = [
        Member("up", kind=tarfile.SYMTYPE, link="../../../../../../../.."),
        Member("abs", kind=tarfile.SYMTYPE, link=str(outside)),
        Member("up/by-relative", b"kept in"),
        Member("abs/by-absolute", b"kept in"),
        Member("passwd", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        Member("passwd", b"replaced the link"),
    ]
    registry.push("hostile/links", "v1", build_image([tar_bytes(members)]))
    real_passwd = Path("/etc/passwd").read_bytes()
    async with open_store(registry.host) as store:
        try:
            image = await store.pull("registry.test/hostile/links:v1")
        except CorruptLayer:
            pass  # the absolute link leads to a directory that the layer does not have
        else:
            assert (store.layers.tree(image.layers[0]) / "passwd").read_bytes() == b"replaced the link"
    assert list(outside.iterdir()) == []
    assert not Path("/by-relative").exists()
    assert Path("/etc/passwd").read_bytes() == real_passwd


def damaged(kind: str, data: bytes) -> bytes:
    """Stored bytes, made wrong in one way."""
    if kind == "truncated":
        return data[: len(data) // 2]
    if kind == "flipped":
        return data[:1000] + bytes([data[1000] ^ 0xFF]) + data[1001:]
    return os.urandom(len(data))


@pytest.mark.parametrize(
    ("kind", "error"),
    [("truncated", TruncatedLayer), ("flipped", DigestMismatch), ("other content", DigestMismatch)],
)
async def test_a_damaged_blob_is_told_apart_from_a_bad_image(
    kind: str, error: type[Exception], registry: Registry, open_store: OpenStore
) -> None:
    image = build_image([tar_bytes([Member("f", os.urandom(100_000))])], label=kind)
    registry.push("damaged/blob", kind.replace(" ", "-"), image)
    stored = registry.blob_file(image.layer_digests[0])
    stored.write_bytes(damaged(kind, stored.read_bytes()))
    async with open_store(registry.host) as store:
        before = contents(store)
        with pytest.raises(error, match=image.layer_digests[0]):
            await store.pull(f"registry.test/damaged/blob:{kind.replace(' ', '-')}")
        assert contents(store) == before


def bad_archives() -> dict[str, tuple[bytes, type[Exception], str]]:
    archive = tar_bytes([Member("file", b"x" * 5000)])
    checksum = archive[:100] + b"9" + archive[101:]
    return {
        "tar cut short": (archive[:2000], TruncatedLayer, "ends within an entry"),
        "checksum": (checksum, CorruptLayer, "checksum"),
        "trailing garbage": (archive + b"garbage" * 100, CorruptLayer, "trailing garbage"),
        "no tar at all": (b"hello world" * 100, CorruptLayer, "bad"),
    }


@pytest.mark.parametrize("name", bad_archives())
async def test_a_bad_archive_with_a_right_digest_is_refused(
    name: str, registry: Registry, open_store: OpenStore
) -> None:
    data, error, words = bad_archives()[name]
    image = build_image([data], label=name)
    registry.push("bad/archive", name.replace(" ", "-"), image)
    async with open_store(registry.host) as store:
        before = contents(store)
        with pytest.raises(error, match=words):
            await store.pull(f"registry.test/bad/archive:{name.replace(' ', '-')}")
        assert contents(store) == before


async def test_a_decompression_bomb_is_given_up_early(registry: Registry, open_store: OpenStore) -> None:
    image = build_image([tar_bytes([Member("zeros", bytes(80 << 20))])])
    registry.push("hostile/bomb", "v1", image)
    async with open_store(registry.host, limits=Limits(total_bytes=16 << 20)) as store:
        before = contents(store)
        with pytest.raises(LayerTooLarge, match="more than 16777216 bytes"):
            await store.pull("registry.test/hostile/bomb:v1")
        assert contents(store) == before


async def test_too_many_entries_are_refused(registry: Registry, open_store: OpenStore) -> None:
    image = build_image([tar_bytes([Member(f"f{index}") for index in range(50)])])
    registry.push("hostile/entries", "v1", image)
    async with open_store(registry.host, limits=Limits(entries=20)) as store:
        with pytest.raises(LayerTooLarge, match="20 entries"):
            await store.pull("registry.test/hostile/entries:v1")


BOUNDED = {
    "deep path": ([Member("d/" * 256 + "f")], Limits(), "more than 256 parts"),
    "long path": ([Member(("d" * 99 + "/") * 41 + "f")], Limits(), "a name of 4101 bytes"),
    "implied": ([Member(f"{n}/{n}") for n in range(9)], Limits(implied_bytes=500), "no entry describes"),
    "directories": (
        [Member("d" * 90 + str(n), kind=tarfile.DIRTYPE) for n in range(9)],
        Limits(directory_bytes=500),
        "names of directories",
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
async def test_names_that_are_kept_in_memory_are_bounded(
    name: str, registry: Registry, open_store: OpenStore
) -> None:
    members, limits, words = BOUNDED[name]
    image = build_image([tar_bytes(members)], label=name)
    registry.push("hostile/names", name.replace(" ", "-"), image)
    async with open_store(registry.host, limits=limits) as store:
        before = contents(store)
        with pytest.raises(LayerTooLarge, match=words) as caught:
            await store.pull(f"registry.test/hostile/names:{name.replace(' ', '-')}")
        assert caught.value.entry
        assert contents(store) == before


async def test_a_described_directory_is_no_longer_implied(registry: Registry, open_store: OpenStore) -> None:
    members = []
    for number in range(20):
        members += [Member(f"d{number}/f"), Member(f"d{number}", kind=tarfile.DIRTYPE, mode=0o755)]
    registry.push("team/described", "v1", build_image([tar_bytes(members)], label="described"))
    async with open_store(registry.host, limits=Limits(implied_bytes=100)) as store:
        await store.pull("registry.test/team/described:v1")


async def test_an_error_does_not_repeat_a_link_of_a_megabyte(
    registry: Registry, open_store: OpenStore
) -> None:
    link = "a/" * 1000 + "b" * 200_000
    registry.push(
        "hostile/quoted", "v1", build_image([tar_bytes([Member("x", kind=tarfile.LNKTYPE, link=link)])])
    )
    async with open_store(registry.host) as store:
        with pytest.raises(CorruptLayer) as caught:
            await store.pull("registry.test/hostile/quoted:v1")
        assert len(str(caught.value)) < 3000


async def test_a_cut_connection_is_taken_up_where_it_ended(registry: Registry, open_store: OpenStore) -> None:
    data = os.urandom(3 << 20)
    registry.push("team/large", "v1", build_image([tar_bytes([Member("large", data)])]))
    cuts = [1_000_000, 700_000, 1_000_000]
    async with cutting_proxy(registry.port, cuts) as port, open_store(f"127.0.0.1:{port}") as store:
        image = await store.pull("registry.test/team/large:v1")
        assert (store.layers.tree(image.layers[0]) / "large").read_bytes() == data
        assert cuts == []


async def test_a_connection_that_is_always_cut_ends_the_pull(
    registry: Registry, open_store: OpenStore
) -> None:
    registry.push("team/never", "v1", build_image([tar_bytes([Member("large", os.urandom(1 << 20))])]))
    async with cutting_proxy(registry.port, [4000] * 1000) as port, open_store(f"127.0.0.1:{port}") as store:
        before = contents(store)
        with pytest.raises((RegistryUnavailable, TruncatedLayer)):
            await store.pull("registry.test/team/never:v1")
        assert contents(store) == before


async def test_what_is_not_there_says_so(registry: Registry, open_store: OpenStore) -> None:
    async with open_store(registry.host) as store:
        with pytest.raises(ManifestUnknown, match=r"team/missing: HTTP 404: MANIFEST_UNKNOWN") as caught:
            await store.pull("registry.test/team/missing:v1")
        assert isinstance(caught.value, NotFound)
    async with open_store("127.0.0.1:1") as store:
        with pytest.raises(RegistryUnavailable, match=r"^RegistryUnavailable: .*127\.0\.0\.1:1"):
            await store.pull("registry.test/team/missing:v1")


async def test_basic_authentication(open_store: OpenStore, tmp_path: Path) -> None:
    with running_registry(tmp_path, htpasswd=True) as private:
        private.push("team/secret", "v1", build_image([tar_bytes([Member("s", b"s")])]))
        name = f"{private.host}/team/secret:v1"
        async with open_store(private.host) as store:
            with pytest.raises(Unauthorized, match="HTTP 401"):
                await store.pull(name)
            with pytest.raises(Unauthorized):
                await store.pull(name, Credentials("tester", "wrong"))
            assert store.list() == []
            image = await store.pull(name, Credentials("tester", "secret"))
            assert image.repo_tags == (name,)


async def test_credentials_that_a_provider_left_for_the_namespace_serve_one_pull(
    open_store: OpenStore, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    name = hashlib.sha256(b"registry.test/a/b").hexdigest()
    with running_registry(tmp_path, htpasswd=True) as registry:
        registry.push("a/b", "v1", build_image([tar_bytes([Member("f", b"1")])]))
        entry = {"auth": base64.b64encode(b"tester:secret").decode()}
        text = json.dumps({"auths": {f"{registry.host}/a": entry}})
        async with open_store(registry.host, namespaced_auth_dir=left) as store:
            (left / f"pods-{name}.json").write_text(text)
            for namespace in ("", "others"):
                with pytest.raises(Unauthorized):
                    await store.pull("registry.test/a/b:v1", namespace=namespace)
            await store.pull("registry.test/a/b:v1", namespace="pods")
            assert names(left) == []
            with pytest.raises(Unauthorized):
                await store.pull("registry.test/a/b:v1", namespace="pods")


async def test_credentials_where_registries_conf_gives_another_location(
    open_store: OpenStore, tmp_path: Path
) -> None:
    with running_registry(tmp_path, htpasswd=True) as private:
        private.push("team/secret", "v1", build_image([tar_bytes([Member("s", b"s")])]))
        auth_file = tmp_path / "auth.json"
        entry = {"auth": "dGVzdGVyOnNlY3JldA=="}
        async with open_store(private.host, auth_file=auth_file) as store:
            auth_file.write_text(json.dumps({"auths": {"registry.test/team": entry}}))
            with pytest.raises(Unauthorized, match="HTTP 401"):
                await store.pull("registry.test/team/secret:v1")
            with pytest.raises(Unauthorized, match="HTTP 401"):
                await store.pull("registry.test/team/secret:v1", Credentials("tester", "secret"))
            auth_file.write_text(json.dumps({"auths": {f"{private.host}/team": entry}}))
            image = await store.pull("registry.test/team/secret:v1", Credentials("other", "secret"))
            assert image.repo_tags == ("registry.test/team/secret:v1",)


async def token_registry(image: BuiltImage, seen: list[str]) -> aiohttp.web.AppRunner:
    """A registry that wants a bearer token and redirects blobs elsewhere (to itself under another name)."""

    async def token(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(f"token {request.query['scope']} {request.headers.get('Authorization', '-')}")
        return aiohttp.web.json_response({"token": "abc"})

    async def blob_store(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(f"store {request.headers.get('Authorization', '-')}")
        return aiohttp.web.Response(body=image.blobs[request.match_info["digest"]])

    async def registry(request: aiohttp.web.Request) -> aiohttp.web.Response:
        port = request.url.port
        if request.headers.get("Authorization") != "Bearer abc":
            challenge = (
                f'Bearer realm="http://127.0.0.1:{port}/token",service="s",scope="repository:a/b:pull"'
            )
            return aiohttp.web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if "/manifests/" in request.path:
            return aiohttp.web.Response(
                body=image.manifest, content_type="application/vnd.oci.image.manifest.v1+json"
            )
        digest = request.path.rpartition("/")[2]
        return aiohttp.web.Response(
            status=307, headers={"Location": f"http://localhost:{port}/store/{digest}"}
        )

    application = aiohttp.web.Application()
    application.router.add_get("/token", token)
    application.router.add_get("/store/{digest}", blob_store)
    application.router.add_get("/v2/{rest:.*}", registry)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def test_a_token_is_fetched_and_not_sent_to_where_a_redirect_leads(open_store: OpenStore) -> None:
    image = build_image([tar_bytes([Member("t", b"t")])])
    seen: list[str] = []
    runner = await token_registry(image, seen)
    try:
        port = runner.addresses[0][1]
        host, elsewhere = f"127.0.0.1:{port}", f"localhost:{port}"
        async with open_store(host) as store:
            # Being listed as insecure is the registry's alone, not that of where it points.
            with pytest.raises(UnexpectedAnswer, match=f"{elsewhere}, which is not https"):
                await store.pull(f"{host}/a/b", Credentials("user", "pass"))
        seen.clear()
        async with open_store(host, insecure=[elsewhere]) as store:
            pulled = await store.pull(f"{host}/a/b", Credentials("user", "pass"))
            assert pulled.id == sha256(image.config)
    finally:
        await runner.cleanup()
    assert seen == ["token repository:a/b:pull Basic dXNlcjpwYXNz", "store -", "store -"]


async def test_a_repeat_fetches_what_is_not_here_and_no_more(open_store: OpenStore) -> None:
    image = build_image([tar_bytes([Member("t", b"t")])])
    seen: list[str] = []
    runner = await token_registry(image, seen)
    token = "token repository:a/b:pull -"
    try:
        host = f"127.0.0.1:{runner.addresses[0][1]}"
        async with open_store(host, insecure=[f"localhost:{runner.addresses[0][1]}"]) as store:
            for name, asked in (
                ("a/b:1", [token, "store -", "store -"]),
                ("a/b:1", [token]),
                ("a/b:2", [token, "store -"]),  # another name: the config, but no layer
                ("a/b:2", [token]),
            ):
                seen.clear()
                pulled = await store.pull(f"{host}/{name}")
                assert (pulled.id, seen) == (sha256(image.config), asked)
            assert pulled.repo_tags == (f"{host}/a/b:1", f"{host}/a/b:2")
            (store.layers.tree(pulled.layers[0]) / "t").unlink()
            store.layers.tree(pulled.layers[0]).rmdir()
            seen.clear()
            again = await store.pull(f"{host}/a/b:1")
            assert seen == [token, "store -", "store -"]
            assert (store.layers.tree(again.layers[0]) / "t").read_bytes() == b"t"
    finally:
        await runner.cleanup()


async def test_concurrent_pulls_are_one_and_survive_their_first_caller(
    registry: Registry, open_store: OpenStore
) -> None:
    registry.push("team/joined", "v1", build_image([tar_bytes([Member("j", os.urandom(500_000))])]))
    async with open_store(registry.host) as store:
        first = asyncio.create_task(store.pull("registry.test/team/joined:v1"))
        while not store._pulls.references():
            await asyncio.sleep(0)
        others = [asyncio.create_task(store.pull("registry.test/team/joined:v1")) for _ in range(4)]
        await asyncio.sleep(0)
        assert store._pulls.references() == ["registry.test/team/joined:v1"]
        first.cancel()
        images = await asyncio.gather(*others)
        assert len({image.id for image in images}) == 1
        assert first.cancelled()


async def test_images_that_share_layers_pulled_at_once(registry: Registry, open_store: OpenStore) -> None:
    base = tar_bytes([Member("base", os.urandom(200_000))])
    for index in range(4):
        own = tar_bytes([Member(f"own{index}", b"x")])
        registry.push("team/shared", f"v{index}", build_image([base, own], label=f"shared{index}"))
    async with open_store(registry.host) as store:
        images = await asyncio.gather(
            *(store.pull(f"registry.test/team/shared:v{index}") for index in range(4))
        )
        assert contents(store)["layers"] == 5
        for image in images[:3]:
            await store.remove(image.id)
        assert (store.layers.tree(images[3].layers[0]) / "base").exists()
        assert contents(store)["layers"] == 2


async def test_a_killed_unpack_process_fails_the_pull_alone(
    registry: Registry, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push("team/killed", "v1", build_image([tar_bytes([Member("k", os.urandom(2_000_000))])]))
    original = asyncio.create_subprocess_exec

    async def start_and_kill(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        process = await original(*arguments, **options)  # type: ignore[arg-type]
        process.kill()
        return process

    async with open_store(registry.host) as store:
        before = contents(store)
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "create_subprocess_exec", start_and_kill)
            with pytest.raises(UnpackFailed, match="killed by signal 9"):
                await store.pull("registry.test/team/killed:v1")
        assert contents(store) == before
        await store.pull("registry.test/team/killed:v1")


async def test_closing_the_store_undoes_a_pull_in_flight(registry: Registry, open_store: OpenStore) -> None:
    registry.push("team/closing", "v1", build_image([tar_bytes([Member("c", os.urandom(4_000_000))])]))
    async with open_store(registry.host) as store:
        task = asyncio.create_task(store.pull("registry.test/team/closing:v1"))
        while not names(store.root / "ingest"):
            await asyncio.sleep(0.001)
    with pytest.raises(asyncio.CancelledError):
        await task
    async with open_store(registry.host) as store:
        assert contents(store) == {**dict.fromkeys(contents(store), 0), "top": 5}


async def test_rubbish_of_a_crash_is_swept_at_open(registry: Registry, open_store: OpenStore) -> None:
    async with open_store(registry.host) as store:
        root = store.root
    (root / "ingest/half/diff").mkdir(parents=True)
    (root / "layers/0123/diff/etc").mkdir(parents=True)
    async with open_store(registry.host) as store:
        assert contents(store)["layers"] == contents(store)["ingest"] == 0


async def test_a_second_process_sees_changes_and_sweeps_nothing(
    registry: Registry, open_store: OpenStore
) -> None:
    registry.push("team/two", "v1", build_image([tar_bytes([Member("two", b"2")])], label="two"))
    async with open_store(registry.host) as first:
        (first.root / "ingest/in-flight").mkdir()
        second = await Images.open(first.root, first.options)
        try:
            assert (first.root / "ingest/in-flight").exists()
            image = await first.pull("registry.test/team/two:v1")
            assert second.find(image.id) == image
            await second.remove(image.id)
            assert first.list() == []
        finally:
            await second.close()
