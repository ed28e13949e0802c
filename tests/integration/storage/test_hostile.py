"""Hostile images: each is refused in one line or unpacked safely, and the store works on as before.

"Safely" is: nothing outside the store has changed, no leftovers, and after the removal of what came in the
store holds what it held before.
"""

import gzip
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from api.errors import PodwrightError
from cri.grpc_errors import message_of
from storage.unpack.faults import Limits
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import (
    OCI_INDEX,
    OCI_MANIFEST,
    BuiltImage,
    Member,
    build_image,
    descriptor,
    names,
    sha256,
    tar_bytes,
)  # fmt: skip

pytestmark = pytest.mark.root

LINK, SYMLINK, DIRECTORY = tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
LIMITS = Limits(entries=2000, header_bytes=1 << 18)


def archive(image: BuiltImage, index: Any = None) -> bytes:
    """An OCI layout as a tar."""
    entry = {
        **descriptor(OCI_MANIFEST, image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": "h:1"},
    }
    files = {f"blobs/sha256/{key[7:]}": data for key, data in image.blobs.items()}
    files[f"blobs/sha256/{sha256(image.manifest)[7:]}"] = image.manifest
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    files["index.json"] = json.dumps(
        index if index is not None else {"schemaVersion": 2, "manifests": [entry]}
    ).encode()
    return tar_bytes([Member(name, data) for name, data in files.items()])


def good() -> BuiltImage:
    return build_image([tar_bytes([Member("f", b"f")])])


def changed(image: BuiltImage, path: tuple[Any, ...], value: object, *, config: bool = False) -> bytes:
    """An archive of ``image`` whose manifest, or config, has ``value`` at ``path``."""
    document = json.loads(image.config if config else image.manifest)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    data = json.dumps(document).encode()
    if not config:
        return archive(BuiltImage(image.blobs, data, image.config, image.layer_digests))
    manifest = json.loads(image.manifest)
    manifest["config"] = descriptor(manifest["config"]["mediaType"], data)
    blobs = {**image.blobs, sha256(data): data}
    return archive(BuiltImage(blobs, json.dumps(manifest).encode(), data, image.layer_digests))


ODD: dict[str, object] = {
    "null": None, "number": 5, "negative": -1, "huge": 10**30, "text": "x", "empty": "", "list": [], "object": {},  # noqa: E501
    "nested": [[[[]]]], "escape": "../../../etc/passwd", "control": "\x1b]0;x\x07\n", "surrogate": "\ud800",
}  # fmt: skip
PLACES: dict[str, tuple[tuple[Any, ...], bool]] = {
    "layers": (("layers",), False), "layer": (("layers", 0), False),
    "layer digest": (("layers", 0, "digest"), False), "layer size": (("layers", 0, "size"), False),
    "config descriptor": (("config",), False), "rootfs": (("rootfs",), True),
    "diff_ids": (("rootfs", "diff_ids"), True), "env": (("config", "Env"), True),
}  # fmt: skip
DOCUMENTS = {
    f"{place}: {odd}": changed(good(), path, value, config=config)
    for place, (path, config) in PLACES.items()
    for odd, value in ODD.items()
}


def layer(*members: Member, compress: Callable[[bytes], bytes] = bytes) -> bytes:
    return archive(build_image([tar_bytes(members)], compress=compress))


def raw(data: bytes, compress: Callable[[bytes], bytes] = bytes) -> bytes:
    return archive(build_image([data], compress=compress))


def entry(name: str, **fields: Any) -> bytes:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


SMALL = tar_bytes([Member("f", b"f" * 5000)])
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "zst": zstandard.compress, "xz": lzma.compress,
}  # fmt: skip


def cut(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data)[:-6]


def longer(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data) + b"rest"


LAYERS = {
    "traversal": layer(Member("../../canary", b"bad")), "absolute": layer(Member("/../canary", b"bad")),
    "through a link": layer(Member("l", kind=SYMLINK, link="../../../.."), Member("l/canary", b"bad")),
    "through links to links": layer(
        Member("a", kind=SYMLINK, link="b"), Member("b", kind=SYMLINK, link=".."), Member("a/canary", b"bad")
    ),
    "link loop": layer(Member("a", kind=SYMLINK, link="b"), Member("b", kind=SYMLINK, link="a"), Member("a/x", b"")),  # noqa: E501
    "hard link out": layer(Member("l", kind=LINK, link="../../../canary")),
    "hard link to shadow": layer(Member("l", kind=LINK, link="/etc/shadow")),
    "hard link to itself": layer(Member("l", kind=LINK, link="l")),
    "device": layer(Member("d", kind=tarfile.BLKTYPE)), "fifo": layer(Member("d", kind=tarfile.FIFOTYPE)),
    "setuid": layer(Member("s", b"x", mode=0o4755)), "long name": layer(Member("x" * 300, b"")),
    "long path": layer(Member("/".join("d" * 100 for _ in range(60)), b"")),
    "deep": layer(Member("/".join("d" for _ in range(1500)), b"")), "NUL": layer(Member("a", pax={"path": "a\0b"})),  # noqa: E501
    "root is a file": layer(Member(".", b"x")), "dots": layer(Member("..", kind=DIRECTORY)),
    "whiteout of the root": layer(Member(".wh..", b"")), "whiteout of nothing": layer(Member(".wh.", b"")),
    "whiteout of the parent": layer(Member(".wh...", b"")),
    "many": raw(b"".join(entry(f"f{n}") for n in range(3000)) + bytes(1024)),
    "twice": layer(Member("f", b"1"), Member("f", kind=DIRECTORY), Member("f", kind=SYMLINK, link="f")),
    "bad UTF-8": raw(entry("a").replace(b"a", b"\xff", 1) + bytes(1024)), "zero length": raw(b""),
    "more than there is": raw(entry("f", size=1 << 40)), "noise": raw(bytes(range(256)) * 40),
    **{f"cut {key}": raw(SMALL, cut(pack)) for key, pack in PACKERS.items()},
    **{f"bomb {key}": raw(entry("f", size=1 << 40) + bytes(8 << 20), pack) for key, pack in PACKERS.items()},
    **{f"trailing {key}": raw(SMALL, longer(pack)) for key, pack in PACKERS.items()},
}  # fmt: skip


def indexed(depth: int) -> bytes:
    """A layout whose index is in an index, and so on."""
    image = good()
    inner, kind, blobs = image.manifest, OCI_MANIFEST, dict(image.blobs)
    for _ in range(depth):
        blobs[sha256(inner)] = inner
        inner = json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(kind, inner)]}
        ).encode()
        kind = OCI_INDEX
    blobs[sha256(inner)] = inner
    whole = BuiltImage(blobs, image.manifest, image.config, image.layer_digests)
    return archive(whole, {"schemaVersion": 2, "manifests": [descriptor(kind, inner)]})


ARCHIVES = {
    **{f"index: {key}": archive(good(), value) for key, value in ODD.items() if value is not None},
    "indexes in indexes": indexed(50), "not a tar": b"x" * 5000, "nothing": b"", "cut": archive(good())[:3000],  # noqa: E501
    "no index": tar_bytes([Member("oci-layout", b"{}")]), "nested JSON": tar_bytes([Member("index.json", b"[" * 90_000)]),  # noqa: E501
    "a link for a blob": tar_bytes([Member("index.json", kind=SYMLINK, link="/etc/shadow")]),
    "links in a ring": tar_bytes([Member("manifest.json", kind=SYMLINK, link="m"), Member("m", kind=SYMLINK, link="manifest.json")]),  # noqa: E501
}  # fmt: skip
CORPUS = {**DOCUMENTS, **LAYERS, **ARCHIVES}


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 120


async def test_whatever_comes_is_refused_or_unpacked_safely(open_store: OpenStore, tmp_path: Path) -> None:
    canary, file = tmp_path / "canary", tmp_path / "image.tar"
    canary.write_bytes(b"alive")
    wrong: list[str] = []
    async with open_store("127.0.0.1:1", limits=LIMITS) as store:
        file.write_bytes(archive(build_image([tar_bytes([Member("kept", b"1")])], label="kept")))
        [kept] = await store.import_archive(file, "kept")
        await store.settle()
        before, around = contents(store), names(tmp_path)
        for what, data in CORPUS.items():
            file.write_bytes(data)
            try:
                images = await store.import_archive(file)
            except PodwrightError as error:
                if len(message_of(error).encode().splitlines()) != 1:
                    wrong.append(f"{what}: not one line: {error!r}")
            except Exception as error:
                wrong.append(f"{what}: {error!r}")
            else:
                assert len(store.list()) == 1 + len({image.id for image in images})
                for image in images:
                    await store.remove(image.id)
            await store.settle()
            if contents(store) != before or names(tmp_path) != around or canary.read_bytes() != b"alive":
                wrong.append(f"{what}: left {contents(store)} {names(tmp_path)}")
            if [image.id for image in store.list()] != [kept.id]:
                wrong.append(f"{what}: lists")
    assert wrong == []
