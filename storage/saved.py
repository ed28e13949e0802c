"""What the catalogue says of each image, once more in a file of its own (storage/sealed.py).

    <root>/images/<hex of the id>            SavedImage: documents, names, layers

A file is written and synced before its row is committed and goes before its row does, so that a
catalogue which is lost is made again from the files alone (storage/rebuild.py). As long as there is a
catalogue its rows are the truth, and a file that differs is written anew at the next start.
"""

import base64
import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from api.ids import ImageId
from host.files import read_bounded, remove_temporaries, write_atomic
from storage.digest import Digest, InvalidDigest
from storage.manifest import CONFIG_LIMIT, MANIFEST_LIMIT
from storage.sealed import SavedDamaged, hex_digest, holds, sealed, unsealed

# Base64, and room for names and layers.
_LIMIT = 2 * (CONFIG_LIMIT + MANIFEST_LIMIT)


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer of an image, by the hex of its chain id."""

    chain_id: str
    disk_bytes: int
    inodes: int


@dataclass(frozen=True, slots=True)
class SavedImage:
    """All rows of an image; ``layers`` bottom first."""

    config: bytes
    manifest: bytes
    size_bytes: int
    pulled_ns: int
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    layers: tuple[SavedLayer, ...]

    @property
    def id(self) -> ImageId:
        """The digest of the config."""
        return ImageId(str(Digest.of(self.config)))

    def encode(self) -> bytes:
        """The bytes of its file."""
        documents = {
            "config": base64.b64encode(self.config).decode(),
            "manifest": base64.b64encode(self.manifest).decode(),
        }
        return sealed({**asdict(self), **documents})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what ``encode`` wrote.

        Raises:
            SavedDamaged: it is not that.
        """
        body = unsealed(data)
        try:
            return cls(
                config=base64.b64decode(body["config"], validate=True),
                manifest=base64.b64decode(body["manifest"], validate=True),
                size_bytes=int(body["size_bytes"]),
                pulled_ns=int(body["pulled_ns"]),
                tags=tuple(map(str, body["tags"])),
                digests=tuple(map(str, body["digests"])),
                layers=tuple(
                    SavedLayer(hex_digest(each["chain_id"]), int(each["disk_bytes"]), int(each["inodes"]))
                    for each in body["layers"]
                ),
            )
        except (KeyError, TypeError, ValueError, InvalidDigest) as error:
            raise SavedDamaged(f"not of the form that this version knows: {error!r}") from error


class SavedImages:
    """The files of images below ``root``. All methods block."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "images"
        with contextlib.suppress(OSError):  # a full disk is no reason not to open the store
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, image_id: str) -> Path:
        """Where the file of an image is, or would be."""
        return self._directory / Digest.parse(image_id).hex

    def files(self) -> list[Path]:
        """Everything there, whole or not, and what a crash left; the newest first, whose names count."""
        if not self._directory.is_dir():
            return []
        return sorted(self._directory.iterdir(), key=lambda path: path.lstat().st_mtime_ns, reverse=True)

    def remove_temporaries(self) -> None:
        """Remove what a killed process left half written; only while no other process writes here."""
        remove_temporaries(self._directory)

    def read(self, path: Path) -> SavedImage:
        """One of ``files``.

        Raises:
            SavedDamaged: it is no image's, or not that of the image it is called by.
        """
        image = SavedImage.decode(read_bounded(path, _LIMIT))
        if image.id != f"sha256:{path.name}":
            raise SavedDamaged(f"it is the file of {image.id}")
        return image

    def save(self, connection: sqlite3.Connection, image_ids: Iterable[str]) -> None:
        """Have the files of these images say what the rows do, durably; those that do so stay as they are."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for image_id in image_ids:
            image = image_of(connection, image_id)
            if image is None or image.id != image_id:
                continue  # a row that was damaged is not copied over what may be whole
            path, data = self.path(image_id), image.encode()
            if not holds(path, data):
                write_atomic(path, data)

    def forget(self, image_id: str) -> None:
        """Remove the file of an image, if there is one; an id that a disk damaged has none."""
        with contextlib.suppress(InvalidDigest):
            self.path(image_id).unlink(missing_ok=True)


def image_of(connection: sqlite3.Connection, image_id: str) -> SavedImage | None:
    """What the rows say of an image; None when there are none, or they are damaged beyond reading."""

    def rows(statement: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement, (image_id,)).fetchall()

    found = rows("SELECT config, manifest, size_bytes, pulled_ns FROM images WHERE id = ?")
    if not found or not all(isinstance(data, bytes) for data in found[0][:2]):
        return None
    layers = rows(
        "SELECT chain_id, disk_bytes, inodes FROM image_layers WHERE image_id = ? ORDER BY position"
    )
    config, manifest, size_bytes, pulled_ns = found[0]
    return SavedImage(
        config=config,
        manifest=manifest,
        size_bytes=size_bytes,
        pulled_ns=pulled_ns,
        tags=tuple(str(row[0]) for row in rows("SELECT name FROM tags WHERE image_id = ? ORDER BY name")),
        digests=tuple(
            str(row[0]) for row in rows("SELECT name FROM digests WHERE image_id = ? ORDER BY rowid")
        ),
        layers=tuple(SavedLayer(*row) for row in layers),
    )


def enter_image(connection: sqlite3.Connection, image: SavedImage) -> None:
    """Write the rows of an image that has none, or damaged ones; names that others have stay theirs."""
    connection.execute("DELETE FROM image_layers WHERE image_id = ?", (image.id,))
    connection.execute(
        "INSERT INTO images VALUES (?, ?, ?, ?, ?) ON CONFLICT (id)"
        " DO UPDATE SET config = excluded.config, manifest = excluded.manifest",
        (image.id, image.config, image.manifest, image.size_bytes, image.pulled_ns),
    )
    connection.executemany(
        "INSERT INTO image_layers VALUES (?, ?, ?, ?, ?)",
        [
            (image.id, position, layer.chain_id, layer.disk_bytes, layer.inodes)
            for position, layer in enumerate(image.layers)
        ],
    )
    for table, names in (("tags", image.tags), ("digests", image.digests)):
        connection.executemany(
            f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", [(name, image.id) for name in names]
        )
