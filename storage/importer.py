"""Images out of files: docker save archives and OCI image layouts, as tar, compressed tar, or directory.

An archive is read in place: layers go from the file into unpack processes without a copy. Only a
compressed archive is first written out below ingest/, since its index stands at its end.
"""

import asyncio
import contextlib
import gzip
import json
import posixpath
import secrets
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from api.errors import InvalidArgument
from storage.catalogue import Image
from storage.digest import Digest, DigestMismatch
from storage.manifest import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose,
    parse_config,
    parse_manifest,
)
from storage.reference import DOCKER_HUB, Reference
from storage.unpacker import LayerSource

if TYPE_CHECKING:
    from storage.images import Images

_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_CONTAINERD_NAME = "io.containerd.image.name"
_OCI_NAME = "org.opencontainers.image.ref.name"


class BadArchive(InvalidArgument):
    """A file is no image archive, or an incomplete one."""


class Archive(Protocol):
    """Named files, wherever they lie. The methods block, but for ``open``."""

    def __contains__(self, name: str) -> bool: ...
    def size(self, name: str) -> int: ...
    def read(self, name: str, limit: int) -> bytes: ...
    def open(self, name: str) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image of an archive, and the names it goes by there."""

    config: bytes
    manifest: bytes
    layers: tuple[LayerSource, ...]
    names: tuple[str, ...]


async def import_archive(images: "Images", path: Path, name: str | None) -> list[Image]:
    """Import every image of an archive (see Images.import_archive)."""
    async with _opened(path, images.root / "ingest") as archive:
        found = await asyncio.to_thread(read_archive, archive, images.options.platform, str(path))
        if name is not None and len(found) != 1:
            raise BadArchive(f"{path} holds {len(found)} images; a name can be given to one only")
        return [await _add(images, image, (name,) if name else image.names, path) for image in found]


async def _add(images: "Images", image: ArchivedImage, names: Sequence[str], path: Path) -> Image:
    tags = [_tag(text) for text in names]
    if not tags:
        raise BadArchive(f"{path}: the image has no name in the archive; give one with --name")
    digest = Digest.of(image.manifest) if image.manifest else None
    digests = [Reference(tag.registry, tag.repository, None, digest) for tag in tags if digest]
    return await images.add(image.config, image.manifest, image.layers, tags, digests)


def _tag(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.digest is not None:
        raise BadArchive(f"{text!r} has a digest; an imported image gets a tag")
    return (reference.qualified(DOCKER_HUB) if reference.is_short else reference).with_default_tag()


def read_archive(archive: Archive, platform: Platform, source: str) -> list[ArchivedImage]:
    """What images an archive holds; layers stay where they are."""
    if "manifest.json" in archive:
        return [_docker_image(archive, entry, source) for entry in _docker_entries(archive, source)]
    if "index.json" in archive:
        index = parse_manifest(archive.read("index.json", MANIFEST_LIMIT))
        if not isinstance(index, Index):
            raise BadArchive(f"{source}: index.json is no index")
        annotations = _annotations(archive.read("index.json", MANIFEST_LIMIT))
        return [
            _oci_image(archive, descriptor, names, platform, source)
            for (descriptor, _), names in zip(index.entries, annotations, strict=True)
        ]
    raise BadArchive(f"{source} has neither manifest.json (docker save) nor index.json (OCI layout)")


# -- docker save -------------------------------------------------------------------------------


def _docker_entries(archive: Archive, source: str) -> list[Mapping[str, Any]]:
    try:
        entries = json.loads(archive.read("manifest.json", MANIFEST_LIMIT))
    except ValueError as error:
        raise BadArchive(f"{source}: manifest.json is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadArchive(f"{source}: manifest.json is not a list of objects")
    return entries


def _docker_image(archive: Archive, entry: Mapping[str, Any], source: str) -> ArchivedImage:
    config = archive.read(str(entry.get("Config")), CONFIG_LIMIT)
    diff_ids = parse_config(config).diff_ids
    names = [str(layer) for layer in entry.get("Layers") or []]
    if len(names) != len(diff_ids):
        raise BadArchive(f"{source}: {len(names)} layers listed, the config has {len(diff_ids)}")
    layers = tuple(
        LayerSource(diff_id, None, archive.size(name), partial(archive.open, name))
        for diff_id, name in zip(diff_ids, names, strict=True)
    )
    return ArchivedImage(config, b"", layers, tuple(str(tag) for tag in entry.get("RepoTags") or []))


# -- OCI layout --------------------------------------------------------------------------------


def _annotations(index: bytes) -> Iterator[tuple[str, ...]]:
    """The names of each manifest of an index; a bare tag names nothing by itself."""
    for entry in json.loads(index).get("manifests") or []:
        annotations = entry.get("annotations") or {}
        name = str(annotations.get(_CONTAINERD_NAME) or annotations.get(_OCI_NAME) or "")
        yield (name,) if "/" in name or ":" in name else ()


def _oci_image(
    archive: Archive, descriptor: Descriptor, names: tuple[str, ...], platform: Platform, source: str
) -> ArchivedImage:
    data = _blob(archive, descriptor, MANIFEST_LIMIT)
    document = parse_manifest(data)
    if isinstance(document, Index):
        chosen = choose(document, platform)
        data = _blob(archive, chosen, MANIFEST_LIMIT)
        document = parse_manifest(data)
    if not isinstance(document, Manifest):
        raise BadArchive(f"{source}: an index inside an index")
    config = _blob(archive, document.config, CONFIG_LIMIT)
    diff_ids = parse_config(config).diff_ids
    if len(diff_ids) != len(document.layers):
        raise BadArchive(f"{source}: {len(document.layers)} layers, the config has {len(diff_ids)}")
    layers = tuple(
        LayerSource(diff_id, layer.digest, layer.size, partial(archive.open, _blob_name(layer.digest)))
        for diff_id, layer in zip(diff_ids, document.layers, strict=True)
    )
    return ArchivedImage(config, data, layers, names)


def _blob_name(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"


def _blob(archive: Archive, descriptor: Descriptor, limit: int) -> bytes:
    data = archive.read(_blob_name(descriptor.digest), limit)
    if Digest.of(data) != descriptor.digest:
        raise DigestMismatch("blob of the archive", str(descriptor.digest), str(Digest.of(data)))
    return data


# -- where the files lie -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _opened(path: Path, scratch: Path) -> AsyncIterator[Archive]:
    if path.is_dir():
        yield DirectoryArchive(path)
        return
    temporary = scratch / f"{secrets.token_hex(8)}.tar"
    try:
        plain = await asyncio.to_thread(_decompressed, path, temporary)
        yield await asyncio.to_thread(TarArchive, plain)
    finally:
        temporary.unlink(missing_ok=True)


def _decompressed(path: Path, temporary: Path) -> Path:
    try:
        with path.open("rb") as file:
            if file.read(2) != _GZIP_MAGIC:
                return path
        with gzip.open(path) as source, temporary.open("xb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
    except (OSError, EOFError) as error:
        raise BadArchive(f"{path}: {error}") from error
    return temporary


async def _chunks(path: Path, offset: int, size: int) -> AsyncIterator[bytes]:
    file: BinaryIO = await asyncio.to_thread(path.open, "rb")
    try:
        file.seek(offset)
        while size and (chunk := await asyncio.to_thread(file.read, min(size, _CHUNK_BYTES))):
            size -= len(chunk)
            yield chunk
    finally:
        file.close()


class DirectoryArchive:
    """An unpacked archive; its files are ordinary files below the directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, name: str) -> Path:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root.resolve()) or not path.is_file():
            raise BadArchive(f"{self._root}: there is no file {name!r}")
        return path

    def __contains__(self, name: str) -> bool:
        return (self._root / name).is_file()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._path(name).stat().st_size

    def read(self, name: str, limit: int) -> bytes:
        """A whole small file."""
        if self.size(name) > limit:
            raise BadArchive(f"{self._root}: {name} is larger than {limit} bytes")
        return self._path(name).read_bytes()

    def open(self, name: str) -> AsyncIterator[bytes]:
        """A file in chunks."""
        return _chunks(self._path(name), 0, self.size(name))


class TarArchive:
    """An uncompressed tar file, read by the positions of its members."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path, "r:") as file:
                self._members = {posixpath.normpath(member.name): member for member in file}
        except (tarfile.TarError, OSError) as error:
            raise BadArchive(f"{path} is no tar archive: {error}") from error

    def _member(self, name: str) -> tarfile.TarInfo:
        wanted = posixpath.normpath(name)
        for _ in range(8):  # docker save links a layer that occurs twice
            member = self._members.get(wanted)
            if member is None:
                break
            if member.isfile():
                return member
            if not (member.issym() or member.islnk()):
                break
            base = posixpath.dirname(wanted) if member.issym() else ""
            wanted = posixpath.normpath(posixpath.join(base, member.linkname))
        raise BadArchive(f"{self._path}: there is no file {name!r}")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """Bytes of a member."""
        return self._member(name).size

    def read(self, name: str, limit: int) -> bytes:
        """A whole small member."""
        member = self._member(name)
        if member.size > limit:
            raise BadArchive(f"{self._path}: {name} is larger than {limit} bytes")
        with self._path.open("rb") as file:
            file.seek(member.offset_data)
            return file.read(member.size)

    def open(self, name: str) -> AsyncIterator[bytes]:
        """A member in chunks."""
        member = self._member(name)
        return _chunks(self._path, member.offset_data, member.size)
