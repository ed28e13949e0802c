"""Images as the rest of Podwright sees them, and the index that finds them by any of their names.

An image whose row cannot be read, because another version wrote it or the disk lost it, is listed with
``fault`` saying why, so that it can be removed; it never hides the others.
"""

import contextlib
import fnmatch
import json
import logging
import sqlite3
import urllib.parse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.errors import FailedPrecondition, PodwrightError
from api.ids import ImageId
from host.databases import is_damage
from storage.database import Database
from storage.digest import Digest
from storage.layers import LayerRecord
from storage.manifest import ConfigDocument, ImageConfig, Platform, parse_config
from storage.reference import DOCKER_HUB, InvalidReference, Reference
from storage.registry.registries_conf import Registries
from storage.saved import SavedImages

log = logging.getLogger(__name__)

_SHORTEST_PREFIX = 3
_NOTHING = ConfigDocument(ImageConfig(), Platform("", ""), (), None)


class LayersVanished(FailedPrecondition):
    """Another process removed a layer between its look-up and its use; a further try fetches it."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the store; names are fully qualified, ``layers`` are chain ids, bottom first."""

    id: ImageId
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    size_bytes: int
    user: str
    config: ImageConfig
    layers: tuple[Digest, ...]
    created: str | None
    pinned: bool
    fault: str = ""  # what keeps it from being used: ``config`` is empty then


@dataclass(frozen=True, slots=True)
class NewImage:
    """What a pull or an import commits: documents, layers bottom first, and the names it goes by."""

    config: bytes
    manifest: bytes
    layers: tuple[tuple[Digest, LayerRecord], ...]
    tags: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def id(self) -> ImageId:
        """The digest of the config."""
        return ImageId(str(Digest.of(self.config)))


class Catalogue:
    """The images' rows as an index in memory, read again whenever any process committed something."""

    def __init__(self, database: Database, pinned: Sequence[str]) -> None:
        self._database = database
        self._saved = SavedImages(database.root)
        self._pinned = tuple(pinned)
        self._version = -1
        self._configs: dict[str, ConfigDocument] = {}
        self._told: set[str] = set()
        self._images: dict[str, Image] = {}
        self._names: dict[str, str] = {}

    def pin(self, patterns: Sequence[str]) -> None:
        """Pin the images of these patterns, and no others, from now on."""
        self._pinned = tuple(patterns)
        self._version = -1

    def images(self) -> list[Image]:
        """All images, the one pulled first at the front."""
        self._refresh()
        return list(self._images.values())

    def by_id(self, image_id: str) -> Image | None:
        """The image of this whole id, ``sha256:`` and all."""
        self._refresh()
        return self._images.get(image_id)

    def find(self, text: str, registries: Registries) -> Image | None:
        """An image by id (with or without ``sha256:``), name, or a prefix of its id that no other has.

        Names come before prefixes: an image called ``cafe`` is not hidden by an id that begins so.
        """
        self._refresh()
        bare = text.removeprefix("sha256:")
        if (found := self._images.get(f"sha256:{bare}")) is not None:
            return found
        for name in possible_names(text, registries):
            if name in self._names:
                return self._images[self._names[name]]
        matches = [key for key in self._images if key.startswith(f"sha256:{bare}")]
        if len(bare) >= _SHORTEST_PREFIX and len(matches) == 1:
            return self._images[matches[0]]
        return None

    def came_by(self, image_id: ImageId, manifest: bytes) -> bool:
        """Whether this was the image's manifest when it came, byte by byte."""
        rows = self._database.read("SELECT manifest FROM images WHERE id = ?", image_id)
        return [row[0] for row in rows] == [manifest]

    def platform_of(self, image_id: ImageId) -> Platform:
        """What an image's config says that it is for."""
        return self._document(image_id)[0].platform

    def config_document(self, image_id: ImageId) -> dict[str, object] | None:
        """An image's whole config, also what nobody here reads of it; None of one that has a fault."""
        if self._document(image_id)[1]:
            return None
        rows = self._database.read("SELECT config FROM images WHERE id = ?", image_id)
        data = rows[0][0] if rows else None
        document = json.loads(data) if isinstance(data, bytes) else None
        return document if isinstance(document, dict) else None

    def _refresh(self) -> None:
        version = self._database.version()
        if version == self._version:
            return
        read = self._database.read
        tags = _grouped(read("SELECT image_id, name FROM tags ORDER BY name"))
        digests = _grouped(read("SELECT image_id, name FROM digests ORDER BY rowid"))
        chains = _grouped(read("SELECT image_id, chain_id FROM image_layers ORDER BY position"))
        sizes = read("SELECT id, size_bytes FROM images ORDER BY pulled_ns, id")
        self._images = {
            str(key): self._image(str(key), int(str(size)), tags, digests, chains) for key, size in sizes
        }
        self._configs = {key: found for key, found in self._configs.items() if key in self._images}
        self._told &= set(self._images)
        self._names = {
            name: image.id
            for image in self._images.values()
            for name in (*image.repo_tags, *image.repo_digests)
        }
        self._version = version

    def _image(
        self,
        key: str,
        size: int,
        tags: Mapping[str, list[str]],
        digests: Mapping[str, list[str]],
        chains: Mapping[str, list[str]],
    ) -> Image:
        document, fault = self._document(key)
        layers, bad_layers = _digests(chains.get(key, ()))
        names = (*tags.get(key, ()), *digests.get(key, ()))
        return Image(
            id=ImageId(key),
            repo_tags=tuple(tags.get(key, ())),
            repo_digests=tuple(digests.get(key, ())),
            size_bytes=max(0, size),
            user=document.config.user,
            config=document.config,
            layers=layers,
            created=document.created,
            pinned=is_pinned(names, self._pinned),
            fault=fault or bad_layers,
        )

    def _document(self, key: str) -> tuple[ConfigDocument, str]:
        """The image's config, or an empty one and what is wrong."""
        known = self._configs.get(key)
        if known is not None:
            return known, ""
        try:
            rows = self._database.read("SELECT config FROM images WHERE id = ?", key)
            document, fault = _read_config(key, rows)
        except sqlite3.DatabaseError as error:
            what = "is damaged" if is_damage(error) else "cannot be read now"
            document, fault = _NOTHING, f"the catalogue {what}: {error}"
        if not fault:
            self._configs[key] = document
        elif key not in self._told:
            self._told.add(key)
            log.warning("image %s cannot be used: %s; remove it and pull it again", key, fault)
        return document, fault

    def commit(self, image: NewImage, trees: Iterable[Path], now_ns: int) -> None:
        """Enter an image, or give further names to one that is there. Its layers were synced. Blocking.

        Its file (storage/saved.py) is on disk before the row is committed.

        Raises:
            LayersVanished: one of the layers' ``trees`` is gone.
        """
        key = image.id
        size = sum(record.archive_bytes for _, record in image.layers) + len(image.config)
        with self._database.transaction() as connection:
            for tree in trees:
                if not tree.is_dir():
                    raise LayersVanished(f"layer {tree.parent.name} of {key} was removed meanwhile")
            losers = _owners(connection, image) - {key}
            connection.execute(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?) ON CONFLICT (id)"
                " DO UPDATE SET config = excluded.config, manifest = excluded.manifest",
                (key, image.config, image.manifest, size, now_ns),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?, ?, ?)",
                [
                    (key, position, chain_id.hex, record.disk_bytes, record.inodes)
                    for position, (chain_id, record) in enumerate(image.layers)
                ],
            )
            for table, names in (("tags", image.tags), ("digests", image.digests)):
                connection.executemany(
                    f"INSERT INTO {table} VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id",
                    [(name, key) for name in names],
                )
            # Last those that lost a name: until then two files claim it, and the newer one is right.
            self._saved.save(connection, [key, *sorted(losers)])

    def tag(self, image: Image, name: str) -> None:
        """Give an image one more name, which another loses if it has it; durable when this returns. Blocking.

        Raises:
            LayersVanished: the image was removed meanwhile.
        """
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM images WHERE id = ?", (image.id,)).fetchone() is None:
                raise LayersVanished(f"image {image.id} was removed meanwhile")
            rows = connection.execute("SELECT image_id FROM tags WHERE name = ?", (name,)).fetchall()
            losers = {str(row[0]) for row in rows} - {image.id}
            connection.execute(
                "INSERT INTO tags VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id",
                (name, image.id),
            )
            self._saved.save(connection, [image.id, *sorted(losers)])

    def remove(self, image: Image) -> None:
        """Forget an image with all its names; one that is gone already is no error. Blocking."""

        def forget(connection: sqlite3.Connection) -> None:
            self._saved.forget(image.id)
            connection.execute("DELETE FROM images WHERE id = ?", (image.id,))

        self._database.freeing(forget)

    def disk_usage(self) -> tuple[int, int]:
        """Bytes and inodes of all layers of all images, shared ones counted once."""
        [(size, inodes)] = self._database.read(
            "SELECT coalesce(sum(disk_bytes), 0), coalesce(sum(inodes), 0) FROM"
            " (SELECT chain_id, max(disk_bytes) AS disk_bytes, max(inodes) AS inodes"
            "  FROM image_layers GROUP BY chain_id)"
        )
        return int(str(size)), int(str(inodes))


def _owners(connection: sqlite3.Connection, image: NewImage) -> set[str]:
    """The images that have one of the image's names now."""
    return {
        str(row[0])
        for table, names in (("tags", image.tags), ("digests", image.digests))
        for name in names
        for row in connection.execute(f"SELECT image_id FROM {table} WHERE name = ?", (name,))
    }


def _read_config(key: str, rows: Sequence[tuple[object, ...]]) -> tuple[ConfigDocument, str]:
    data = rows[0][0] if rows else None
    if not isinstance(data, bytes):
        return _NOTHING, "it has no config"
    if str(Digest.of(data)) != key:
        return _NOTHING, "its config is not the one that its id names"
    try:
        return parse_config(data), ""
    except PodwrightError as error:
        return _NOTHING, str(error)


def _digests(chain: Iterable[str]) -> tuple[tuple[Digest, ...], str]:
    try:
        return tuple(Digest.parse(f"sha256:{text}") for text in chain), ""
    except PodwrightError as error:
        return (), f"its layers: {error}"


def faults(path: Path) -> list[tuple[str, str]]:
    """The ids of images in a catalogue that cannot be used, and why; changes nothing. Blocking.

    Raises:
        sqlite3.DatabaseError: the file cannot be read at all.
    """
    with contextlib.closing(
        sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True)
    ) as connection:
        keys = [str(row[0]) for row in connection.execute("SELECT id FROM images ORDER BY id")]
        found = []
        for key in keys:
            rows = connection.execute("SELECT config FROM images WHERE id = ?", (key,)).fetchall()
            if rows and (fault := _read_config(key, rows)[1]):
                found.append((key, fault))
        return found


def _grouped(rows: Iterable[tuple[object, ...]]) -> dict[str, list[str]]:
    result: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in rows:
        result[str(key)].append(str(value))
    return dict(result)


def possible_names(text: str, registries: Registries) -> list[str]:
    """The full names that a text may stand for, likeliest first; none when it is no reference."""
    try:
        reference = Reference.parse(text).with_default_tag()
    except InvalidReference:
        return []
    candidates = [reference]
    if reference.is_short:
        candidates = registries.candidates(reference)
        candidates += [reference.qualified(registry) for registry in (DOCKER_HUB, "localhost")]
    return list(dict.fromkeys(str(candidate) for candidate in candidates))


def is_pinned(names: Iterable[str], patterns: Iterable[str]) -> bool:
    """True when one of the names matches ``exact``, ``begins*`` or ``*contains*``."""
    wanted = []
    for pattern in patterns:
        if "*" not in pattern:
            with contextlib.suppress(InvalidReference):
                reference = Reference.parse(pattern).with_default_tag()
                pattern = str(reference.qualified(DOCKER_HUB) if reference.is_short else reference)
        wanted.append(pattern.replace("[", "[[]").replace("?", "[?]"))
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in wanted)
