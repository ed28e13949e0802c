"""Images that share layers, as archives on disk and in a registry, and what a store with them must hold."""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.images import Images
from storage.options import Options
from storage.registry.options import ClientOptions
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

Listed = frozenset[tuple[str, tuple[str, ...], tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Made:
    """An image, and the files of each of its layers, bottom first."""

    built: BuiltImage
    files: tuple[dict[str, bytes], ...]

    @property
    def id(self) -> str:
        """The digest of its config."""
        return sha256(self.built.config)


def make_images(count: int, file_bytes: int, files: int = 2) -> list[Made]:
    """Images of two layers: the lower one is every second image's, the upper one its own."""
    lower = [{f"base{n}-{i}": os.urandom(file_bytes) for i in range(files)} for n in range(2)]
    made = []
    for number in range(count):
        layers = (
            lower[number % 2],
            {f"own{number}-{i}": os.urandom(file_bytes) for i in range(files)},
        )
        tars = [tar_bytes([Member(name, data) for name, data in layer.items()]) for layer in layers]
        made.append(Made(build_image(tars, label=str(number)), layers))
    return made


def write_layout(directory: Path, image: BuiltImage, name: str) -> None:
    """An OCI layout with one image."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    for digest, data in {**image.blobs, sha256(image.manifest): image.manifest}.items():
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    entry = {
        **descriptor(OCI_MANIFEST, image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": name},
    }
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def options(conf: Path) -> Options:
    """Of a store whose registries.conf is ``conf``."""
    return Options(
        registries_conf=conf,
        policy_file=conf.with_name("no-policy.json"),
        auth_files=[],
        client=ClientOptions(backoff_s=0.01, stall_timeout_s=20),
    )


def listed(store: Images) -> Listed:
    """Ids and names."""
    return frozenset((image.id, image.repo_tags, image.repo_digests) for image in store.list())


def wrong(store: Images, made: Sequence[Made]) -> list[str]:
    """What is not as it must be in a store that was just opened: broken images, and what nothing names."""
    by_id = {each.id: each for each in made}
    found = []
    for image in store.list():
        expected = by_id[image.id].files
        trees = [store.layers.tree(chain) for chain in image.layers]
        if image.fault or len(trees) != len(expected):
            found.append(f"{image.id}: {image.fault or 'layers are missing'}")
        for tree, files in zip(trees, expected, strict=False):
            if not tree.is_dir() or {path.name: path.read_bytes() for path in tree.iterdir()} != files:
                found.append(f"{image.id}: {tree} is not what was in the archive")
    needed = {str(row[0]) for row in store.database.read("SELECT chain_id FROM image_layers")}
    needed |= {str(row[0]) for row in store.database.read("SELECT chain_id FROM rootfs_layers")}
    rows = {str(row[0]) for row in store.database.read("SELECT container_id FROM rootfs")}
    for directory, wanted in (
        ("layers", needed),
        ("images", {image.id.removeprefix("sha256:") for image in store.list()}),
        ("ingest", set()),
        ("quarantine", set()),
        ("containers", rows),
    ):
        with contextlib.suppress(FileNotFoundError):
            there = set(names(store.root / directory))
            # The row of a root file system comes before its directory, and goes after it.
            if there != wanted and not (directory == "containers" and there < wanted):
                found.append(f"{directory}: {sorted(there ^ wanted)}")
    found += [f"left: {path}" for path in store.leftovers]
    if store.database.unknown_kept:
        found.append(store.database.unknown_kept)
    return found
