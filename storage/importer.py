"""Images out of files: docker save archives and OCI image layouts, as tar, compressed tar, or directory.

Layers go from the file into unpack processes without a copy; where the files lie is storage/archives.py's.
Where an OCI layout has one name for images of several platforms, the one for this machine is taken.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from storage.archives import Archive, BadArchive, opened
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
    IndexEntry,
    Manifest,
    NoMatchingPlatform,
    Platform,
    choose,
    parse_config,
    parse_manifest,
)
from storage.options import Options
from storage.reference import DOCKER_HUB, Reference
from storage.unpacker import LayerSource

_CONTAINERD_NAME = "io.containerd.image.name"
_IMAGES = 1000
_VALUES = 50_000
_OCI_NAME = "org.opencontainers.image.ref.name"


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
    async with opened(path, scratch, options.limits) as archive:
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
        named = zip(_annotations(archive.read("index.json", MANIFEST_LIMIT)), index.entries, strict=True)
        return [
            _oci_image(archive, descriptor, names, platform, source)
            for names, descriptor in _for_this_machine(archive, list(named), platform)
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


def _for_this_machine(
    archive: Archive, named: Sequence[tuple[tuple[str, ...], IndexEntry]], platform: Platform
) -> Iterator[tuple[tuple[str, ...], Descriptor]]:
    """One manifest for each name; those without a name are all there, but for other machines' beside them."""
    groups: dict[tuple[str, ...], list[IndexEntry]] = {}
    for names, entry in named:
        groups.setdefault(names, []).append(entry)
    for names, entries in groups.items():
        if len(entries) == 1:
            yield names, entries[0][0]
            continue
        told = [(each, offered or _platform_told(archive, each)) for each, offered in entries]
        if names:
            yield names, choose(Index(tuple(told)), platform)
            continue
        for each, offered in told:
            with contextlib.suppress(NoMatchingPlatform):
                yield names, choose(Index(((each, offered),)), platform)


def _platform_told(archive: Archive, descriptor: Descriptor) -> Platform | None:
    """What a manifest's config says that it is for; None of an index, or where nothing is said."""
    document = parse_manifest(_blob(archive, descriptor, MANIFEST_LIMIT))
    if isinstance(document, Index):
        return None
    told = parse_config(_blob(archive, document.config, CONFIG_LIMIT)).platform
    return told if told.architecture else None


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
