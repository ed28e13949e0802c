"""Archives: docker save and OCI layouts, as tar, compressed tar and directory."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from api.errors import InvalidArgument
from storage.archives import BadArchive
from storage.digest import DigestMismatch
from storage.images import Images
from storage.manifest import NoMatchingPlatform, Platform
from storage.scratch import TooMuchData
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import (
    OCI_MANIFEST,
    BuiltImage,
    Member,
    build_image,
    descriptor,
    names,
    sha256,
    tar_bytes,
)

pytestmark = pytest.mark.root


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Images]:
    async with open_store("127.0.0.1:1") as opened:
        yield opened


def docker_archive(layers: list[bytes], names: list[str]) -> bytes:
    """What ``docker save`` writes: manifest.json last, a layer that occurs twice as a link."""
    image = build_image(layers, compress=lambda data: data)
    members = [Member("config.json", image.config)]
    paths = []
    for index, data in enumerate(layers):
        if data in layers[:index]:
            target = f"../{layers.index(data)}/layer.tar"
            members.append(Member(f"{index}/layer.tar", kind=tarfile.SYMTYPE, link=target))
        else:
            members.append(Member(f"{index}/layer.tar", data))
        paths.append(f"{index}/layer.tar")
    manifest = json.dumps([{"Config": "config.json", "RepoTags": names, "Layers": paths}])
    return tar_bytes([*members, Member("manifest.json", manifest.encode())])


def oci_files(image: BuiltImage, annotations: dict[str, str]) -> dict[str, bytes]:
    """The files of an OCI layout."""
    entry = {**descriptor(OCI_MANIFEST, image.manifest), "annotations": annotations}
    files = {f"blobs/sha256/{digest[7:]}": data for digest, data in image.blobs.items()}
    return {
        **files,
        f"blobs/sha256/{sha256(image.manifest)[7:]}": image.manifest,
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
    }


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress, bz2.compress, lzma.compress])
async def test_a_docker_archive_is_imported_under_its_names(
    store: Images, tmp_path: Path, compress: object
) -> None:
    assert callable(compress)
    layer = tar_bytes([Member("file", os.urandom(10_000))])
    (tmp_path / "image.tar").write_bytes(
        compress(docker_archive([layer, layer], ["demo:1", "quay.io/a/b:2"]))
    )
    [image] = await store.import_archive(tmp_path / "image.tar")
    assert image.repo_tags == ("docker.io/library/demo:1", "quay.io/a/b:2")
    assert store.find("demo:1") == image
    assert len(image.layers) == 2
    assert names(store.root / "ingest") == []


async def test_an_oci_layout_is_imported_from_tar_and_directory(store: Images, tmp_path: Path) -> None:
    built = build_image([tar_bytes([Member("oci", b"1")])])
    files = oci_files(built, {"org.opencontainers.image.ref.name": "quay.io/team/app:v1"})
    (tmp_path / "oci.tar").write_bytes(tar_bytes([Member(f"./{name}", data) for name, data in files.items()]))
    [image] = await store.import_archive(tmp_path / "oci.tar")
    assert image.repo_tags == ("quay.io/team/app:v1",)
    assert image.repo_digests == (f"quay.io/team/app@{sha256(built.manifest)}",)
    for name, data in files.items():
        path = tmp_path / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    [again] = await store.import_archive(tmp_path / "layout", "renamed")
    assert again.id == image.id
    assert "docker.io/library/renamed:latest" in again.repo_tags


def layout(built: Mapping[str, BuiltImage], index: Sequence[tuple[str, str | None, str]]) -> bytes:
    """An OCI layout as a tar: of images by key, an index of key, architecture and name."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    for image in built.values():
        for data in (*image.blobs.values(), image.manifest):
            files[f"blobs/sha256/{sha256(data)[7:]}"] = data
    entries = []
    for key, architecture, name in index:
        entry = descriptor(OCI_MANIFEST, built[key].manifest)
        if architecture is not None:
            entry["platform"] = {"os": "linux", "architecture": architecture}
        entry["annotations"] = {"org.opencontainers.image.ref.name": name} if name else {}
        entries.append(entry)
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return tar_bytes([Member(name, data) for name, data in files.items()])


PLATFORMS: dict[str, list[tuple[str, str | None, str]]] = {
    "said in the index": [("s390x", "s390x", "a.test/b:1"), ("amd64", "amd64", "a.test/b:1")],
    "said in the configs alone": [("amd64", None, "a.test/b:1"), ("s390x", None, "a.test/b:1")],
    "without names": [("amd64", None, ""), ("s390x", "s390x", "")],
}


@pytest.mark.parametrize("case", PLATFORMS)
async def test_one_name_for_several_platforms_is_the_image_for_this_machine(
    store: Images, tmp_path: Path, case: str
) -> None:
    built = {
        "amd64": build_image([tar_bytes([Member("f", b"x")])]),
        "s390x": build_image([tar_bytes([Member("f", b"z")])], architecture="s390x"),
    }
    (tmp_path / "a.tar").write_bytes(layout(built, PLATFORMS[case]))
    options = replace(store.options, platform=Platform("linux", "amd64"))
    store.reconfigure(options)
    name = None if PLATFORMS[case][0][2] else "a.test/b:1"
    [image] = await store.import_archive(tmp_path / "a.tar", name)
    assert (image.id, image.repo_tags) == (sha256(built["amd64"].config), ("a.test/b:1",))


async def test_a_name_without_an_image_for_this_machine_says_what_there_is(
    store: Images, tmp_path: Path
) -> None:
    built = {key: build_image([tar_bytes([Member(key)])], architecture=key) for key in ("s390x", "riscv64")}
    (tmp_path / "a.tar").write_bytes(layout(built, [(key, None, "a.test/b:1") for key in built]))
    with pytest.raises(NoMatchingPlatform, match="it offers linux/riscv64, linux/s390x"):
        await store.import_archive(tmp_path / "a.tar")


async def test_an_image_without_a_name_needs_one(store: Images, tmp_path: Path) -> None:
    layer = tar_bytes([Member("f", b"1")])
    (tmp_path / "image.tar").write_bytes(docker_archive([layer], []))
    with pytest.raises(BadArchive, match="give one with --name"):
        await store.import_archive(tmp_path / "image.tar")
    [image] = await store.import_archive(tmp_path / "image.tar", "named")
    assert image.repo_tags == ("docker.io/library/named:latest",)


async def test_an_archive_that_cannot_be_read_is_named_once(store: Images, tmp_path: Path) -> None:
    with pytest.raises(BadArchive) as caught:
        await store.import_archive(tmp_path / "none.tar")
    assert str(caught.value) == f"{tmp_path}/none.tar: No such file or directory"


async def test_damaged_archives_leave_nothing(store: Images, tmp_path: Path) -> None:
    before = contents(store)
    path = tmp_path / "archive.tar"
    path.write_bytes(b"no archive at all")
    with pytest.raises(BadArchive, match="no tar archive"):
        await store.import_archive(path)
    path.write_bytes(tar_bytes([Member("README", b"x")]))
    with pytest.raises(BadArchive, match=r"neither manifest\.json"):
        await store.import_archive(path)
    built = build_image([tar_bytes([Member("f", b"1")])])
    files = oci_files(built, {})
    layer = f"blobs/sha256/{built.layer_digests[0][7:]}"
    files[layer] = files[layer][:-1] + b"!"
    path.write_bytes(tar_bytes([Member(name, data) for name, data in files.items()]))
    with pytest.raises(DigestMismatch):
        await store.import_archive(path, "damaged")
    path.write_bytes(gzip.compress(docker_archive([tar_bytes([])], ["a:b"]))[:-9])
    with pytest.raises(BadArchive):
        await store.import_archive(path)
    assert contents(store) == before


async def test_a_docker_archive_may_leave_out_a_file(store: Images, tmp_path: Path) -> None:
    buffer = io.BytesIO(docker_archive([tar_bytes([Member("f", b"1")])], ["a:b"]))
    kept = tmp_path / "kept.tar"
    with tarfile.open(fileobj=buffer) as source, tarfile.open(kept, "w") as target:
        for member in source:
            if member.name != "0/layer.tar":
                target.addfile(member, source.extractfile(member))
    with pytest.raises(BadArchive, match=r"there is no file '0/layer\.tar'"):
        await store.import_archive(kept)


@pytest.mark.parametrize(
    "archive",
    [
        gzip.compress(bytes(100 << 20)),
        gzip.compress(tar_bytes([Member("manifest.json", b"[]")]) + bytes(100 << 20)),
        gzip.compress(b"no tar at all"),
        b"\x1f\x8b\x08\x00garbage",
    ],
    ids=["zeros", "a tar and zeros", "text", "garbage"],
)
async def test_a_compressed_archive_that_is_none_fills_no_disk(
    store: Images, tmp_path: Path, archive: bytes
) -> None:
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(archive)
    before = contents(store)
    with pytest.raises((BadArchive, TooMuchData)):
        await store.import_archive(path)
    assert contents(store) == before


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000,
        b'[{"Config": "c\\u0000", "Layers": [], "RepoTags": ["a:1"]}]',
        b'[{"Config": "../../../etc/passwd", "Layers": ["x"]}]',
        b'[{"Config": 5, "Layers": 5}]',
        b'[{"Config": "manifest.json", "RepoTags": [5]}]',
        b"[" + b",".join([b"{}"] * 2000) + b"]",
        b"null",
        b'{"a": NaN}',
    ],
)
@pytest.mark.parametrize("kind", ["tar", "directory"])
async def test_an_archives_documents_are_a_strangers(
    store: Images, tmp_path: Path, document: bytes, kind: str
) -> None:
    path = tmp_path / "archive"
    if kind == "tar":
        path.write_bytes(tar_bytes([Member("manifest.json", document)]))
    else:
        path.mkdir()
        (path / "manifest.json").write_bytes(document)
    with pytest.raises(InvalidArgument):
        await store.import_archive(path)


@pytest.mark.parametrize("annotations", [5, [], {"org.opencontainers.image.ref.name": ["x"]}, {"a": None}])
async def test_annotations_of_an_index_may_be_anything(
    store: Images, tmp_path: Path, annotations: object
) -> None:
    image = build_image([tar_bytes([Member("f", b"x")])])
    files = oci_files(image, {})
    index = json.loads(files["index.json"])
    index["manifests"][0]["annotations"] = annotations
    files["index.json"] = json.dumps(index).encode()
    path = tmp_path / "layout.tar"
    path.write_bytes(tar_bytes([Member(name, data) for name, data in files.items()]))
    [imported] = await store.import_archive(path, "a.test/b:1")
    assert imported.id == sha256(image.config)
