"""Images out of files: docker save archives and OCI image layouts, as tar, compressed tar, or directory.

An archive is read in place: layers go from the file into unpack processes without a copy. Only a
compressed archive is first written out below ingest/, since its index stands at its end; that copy is bounded
(storage/scratch.py). The archive's own headers are read as a layer's are, so that they are bounded too.
"""

import asyncio
import contextlib
import gzip
import os
import posixpath
import secrets
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from api.errors import InvalidArgument
from storage.bounded_json import bounded_json
from storage.catalogue import Image
from storage.digest import Digest, DigestMismatch
from storage.entering import Arrival, Entering
from storage.manifest import (
    CONFIG_LIMIT,
    INDEX_DEPTH,
    MANIFEST_LIMIT,
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose,
    parse_config,
    parse_manifest,
)
from storage.options import Options
from storage.reference import DOCKER_HUB, Reference
from storage.scratch import write_bounded
from storage.unpack.faults import LayerFault, Limits
from storage.unpack.tar import BLOCK, Entry, Reader, Source, Type, is_header
from storage.unpacker import LayerSource

_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_CONTAINERD_NAME = "io.containerd.image.name"
_MEMBERS = 100_000  # of an archive
_IMAGES = 1000
_VALUES = 50_000
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


async def import_archive(
    entering: Entering, options: Options, scratch: Path, path: Path, name: str | None
) -> list[Image]:
    """Import every image of an archive (see Images.import_archive), decompressed into ``scratch`` first."""
    async with _opened(path, scratch, options.limits) as archive:
        found = await asyncio.to_thread(read_archive, archive, options.platform, str(path))
        if name is not None and len(found) != 1:
            raise BadArchive(f"{path} holds {len(found)} images; a name can be given to one only")
        arrivals = [_arrival(image, (name,) if name else image.names, path) for image in found]
        return [await entering.add(arrival, parallel=options.layers_per_pull) for arrival in arrivals]


def _arrival(image: ArchivedImage, names: Sequence[str], path: Path) -> Arrival:
    tags = [_tag(text) for text in names]
    if not tags:
        raise BadArchive(f"{path}: the image has no name in the archive; give one with --name")
    digest = Digest.of(image.manifest) if image.manifest else None
    digests = [Reference(tag.registry, tag.repository, None, digest) for tag in tags if digest]
    return Arrival(image.config, image.manifest, image.layers, tags, digests)


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
    entries = bounded_json(
        archive.read("manifest.json", MANIFEST_LIMIT), f"{source}: manifest.json", values=_VALUES
    )
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadArchive(f"{source}: manifest.json is not a list of objects")
    if len(entries) > _IMAGES:
        raise BadArchive(f"{source}: {len(entries)} images, more than {_IMAGES}")
    return entries


def _docker_image(archive: Archive, entry: Mapping[str, Any], source: str) -> ArchivedImage:
    config = archive.read(str(entry.get("Config")), CONFIG_LIMIT)
    diff_ids = parse_config(config).diff_ids
    names = _strings(entry, "Layers", source)
    if len(names) != len(diff_ids):
        raise BadArchive(f"{source}: {len(names)} layers listed, the config has {len(diff_ids)}")
    layers = tuple(
        LayerSource(diff_id, None, archive.size(name), partial(archive.open, name))
        for diff_id, name in zip(diff_ids, names, strict=True)
    )
    return ArchivedImage(config, b"", layers, tuple(_strings(entry, "RepoTags", source)))


def _strings(entry: Mapping[str, Any], key: str, source: str) -> list[str]:
    value = entry.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadArchive(f"{source}: {key} in manifest.json is no list of strings")
    return value


# -- OCI layout --------------------------------------------------------------------------------


def _annotations(index: bytes) -> Iterator[tuple[str, ...]]:
    """The names of each manifest of an index; a bare tag names nothing by itself."""
    document = bounded_json(index, "index.json", values=_VALUES)
    for entry in document.get("manifests") or []:
        annotations = entry.get("annotations")
        annotations = annotations if isinstance(annotations, dict) else {}
        name = str(annotations.get(_CONTAINERD_NAME) or annotations.get(_OCI_NAME) or "")
        yield (name,) if "/" in name or ":" in name else ()


def _oci_image(
    archive: Archive, descriptor: Descriptor, names: tuple[str, ...], platform: Platform, source: str
) -> ArchivedImage:
    for _ in range(INDEX_DEPTH + 1):
        data = _blob(archive, descriptor, MANIFEST_LIMIT)
        document = parse_manifest(data)
        if isinstance(document, Manifest):
            break
        descriptor = choose(document, platform)
    else:
        raise BadArchive(f"{source}: more than {INDEX_DEPTH} indexes inside one another")
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
async def _opened(path: Path, scratch: Path, limits: Limits) -> AsyncIterator[Archive]:
    if path.is_dir():
        yield DirectoryArchive(path)
        return
    temporary = scratch / f"{secrets.token_hex(8)}.tar"
    try:
        plain = await asyncio.to_thread(_decompressed, path, temporary, limits)
        yield await asyncio.to_thread(TarArchive, plain, limits)
    finally:
        temporary.unlink(missing_ok=True)


def _decompressed(path: Path, temporary: Path, limits: Limits) -> Path:
    try:
        with path.open("rb") as file:
            if file.read(2) != _GZIP_MAGIC:
                return path
        with gzip.open(path) as source, temporary.open("xb") as target:
            first = source.read(_CHUNK_BYTES)
            if not is_header(first[:BLOCK]):
                raise BadArchive(f"{path}: what is compressed in it is no tar archive")
            chunks = chain((first,), iter(partial(source.read, _CHUNK_BYTES), b""))
            write_bounded(chunks, target, limits, what=str(path), made_of=path.stat().st_size)
    except (OSError, EOFError, zlib.error) as error:
        raise BadArchive(f"{path}: {_words(error)}") from error
    return temporary


def _words(error: Exception) -> str:
    """Without the number and the name, which stands before it."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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
        try:
            path = (self._root / name).resolve()
            if path.is_relative_to(self._root.resolve()) and path.is_file():
                return path
        except (OSError, RuntimeError, ValueError):  # too long, a loop, a zero byte
            pass
        raise BadArchive(f"{self._root}: there is no file {name[:300]!r}")

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


class _FileSource(Source):
    """A file as the tar reader wants it, which passes over what is not read, and knows where it is."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(iter(()))
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def tell(self) -> int:
        """The position of the next byte."""
        return self._file.tell()

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes; fewer only at the end of the file."""
        return self._file.read(count)

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes; returns how many the file did not have."""
        position = self._file.tell()
        self._file.seek(min(position + count, self._size))
        return max(0, position + count - self._size)

    def rest_is_zero(self) -> bool:
        """True: what follows an archive is nobody's business."""
        return True


@dataclass(frozen=True, slots=True)
class _Member:
    """An entry, and where its content begins."""

    entry: Entry
    position: int


class TarArchive:
    """An uncompressed tar file, read by the positions of its members."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._members = dict(_members(file, replace(limits or Limits(), entries=_MEMBERS)))
        except LayerFault as fault:
            raise BadArchive(f"{path} is no tar archive: {fault.text} {fault.entry}".rstrip()) from fault
        except OSError as error:
            raise BadArchive(f"{path}: {_words(error)}") from error

    def _member(self, name: str) -> _Member:
        wanted = posixpath.normpath(name)
        for _ in range(8):  # docker save links a layer that occurs twice
            member = self._members.get(wanted)
            if member is None:
                break
            kind = member.entry.type
            if kind is Type.FILE:
                return member
            if kind not in (Type.SYMLINK, Type.HARD_LINK):
                break
            base = posixpath.dirname(wanted) if kind is Type.SYMLINK else ""
            wanted = posixpath.normpath(posixpath.join(base, os.fsdecode(member.entry.link)))
        raise BadArchive(f"{self._path}: there is no file {name[:300]!r}")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """Bytes of a member."""
        return self._member(name).entry.size

    def read(self, name: str, limit: int) -> bytes:
        """A whole small member."""
        member = self._member(name)
        if member.entry.size > limit:
            raise BadArchive(f"{self._path}: {name[:300]} is larger than {limit} bytes")
        with self._path.open("rb") as file:
            file.seek(member.position)
            return file.read(member.entry.size)

    def open(self, name: str) -> AsyncIterator[bytes]:
        """A member in chunks."""
        member = self._member(name)
        return _chunks(self._path, member.position, member.entry.size)


def _members(file: BinaryIO, limits: Limits) -> Iterator[tuple[str, _Member]]:
    source = _FileSource(file)
    for entry in Reader(source, limits):
        yield posixpath.normpath(os.fsdecode(entry.name)), _Member(entry, source.tell())
