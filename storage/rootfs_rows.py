"""The rows of root file systems and the file beside each; nobody else writes them.

    rootfs         a container and its image
    rootfs_layers  the layers of all its mounts: those of the root file system at positions below
                   POSITIONS_PER_MOUNT, those of image volume n from (n + 1) times it
    <root>/containers/<id>/rootfs.saved   the same once more (storage/sealed.py): SavedRootfs

A row comes before the directory that it is about, and goes after it. The rows are the truth as long as there
is a catalogue, and a file that differs is written anew at the next start; when the catalogue is lost its rows
are made of the files (storage/rebuild.py). A root file system outlives a crash and no reboot, so its file is
renamed into place and not synced.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from api.errors import AlreadyExists, NotFound
from api.ids import ContainerId
from host.files import read_bounded, write_atomic
from storage.catalogue import Image
from storage.database import Database
from storage.digest import Digest, InvalidDigest
from storage.sealed import SavedDamaged, hex_digest, holds, sealed, unsealed

# overlayfs takes 500 layers at most.
POSITIONS_PER_MOUNT = 1000
_FILE = "rootfs.saved"
_FILE_LIMIT = 16 << 20


class RootfsExists(AlreadyExists):
    """The container has a root file system already."""


class ImageNotFound(NotFound):
    """No image has this name or id."""


@dataclass(frozen=True, slots=True)
class SavedRootfs:
    """A root file system's image, and the layers by their positions."""

    image_id: str
    layers: tuple[tuple[int, str], ...]

    def encode(self) -> bytes:
        """The bytes of its file."""
        return sealed(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what ``encode`` wrote.

        Raises:
            SavedDamaged: it is not that.
        """
        body = unsealed(data)
        try:
            layers = tuple((int(position), hex_digest(chain)) for position, chain in body["layers"])
            return cls(str(body["image_id"]), layers)
        except (KeyError, TypeError, ValueError, InvalidDigest) as error:
            raise SavedDamaged(f"not of the form that this version knows: {error!r}") from error


class RootfsRows:
    """The rows of the store below ``root``. All methods block."""

    def __init__(self, root: Path, database: Database) -> None:
        self._containers = root / "containers"
        self._database = database

    def place(self, container_id: str) -> Path:
        """The directory that a container's row is about."""
        return self._containers / container_id

    def known(self) -> set[ContainerId]:
        """The containers that have a root file system."""
        return {ContainerId(str(row[0])) for row in self._database.read("SELECT container_id FROM rootfs")}

    def used(self, images: Iterable[Image]) -> set[str]:
        """Those of the images that a container runs or may show as a volume, by their ids."""
        running = {str(row[0]) for row in self._database.read("SELECT DISTINCT image_id FROM rootfs")}
        layers = {str(row[0]) for row in self._database.read("SELECT DISTINCT chain_id FROM rootfs_layers")}
        return {
            image.id
            for image in images
            if image.id in running or (image.layers and image.layers[-1].hex in layers)
        }

    def enter(self, container_id: ContainerId, image: Image) -> SavedRootfs:
        """Have a row for a container of ``image``; what is to be saved once its directory is there.

        Raises:
            ImageNotFound: the image was removed meanwhile.
            RootfsExists: the container has one.
        """
        layers = tuple((position, chain.hex) for position, chain in enumerate(image.layers))
        saved = SavedRootfs(image.id, layers)
        with self._database.transaction() as connection:
            _require(connection, image)
            try:
                enter_rootfs(connection, container_id, saved)
            except sqlite3.IntegrityError as error:
                raise RootfsExists(f"container {container_id} has a root file system already") from error
        return saved

    def enter_volume(self, container_id: ContainerId, number: int, image: Image) -> None:
        """Have the layers of image volume ``number`` too; saved when this returns.

        Raises:
            ImageNotFound: the image was removed meanwhile.
        """
        first = (number + 1) * POSITIONS_PER_MOUNT
        layers = ((first + position, chain.hex) for position, chain in enumerate(image.layers))
        with self._database.transaction() as connection:
            _require(connection, image)
            _enter_layers(connection, container_id, layers)
            saved = rootfs_of(connection, container_id)
        if saved is not None:
            save_rootfs(self.place(container_id), saved)

    def chain(self, container_id: ContainerId) -> list[Digest]:
        """The layers of a container's root file system, bottom first, without its volumes'."""
        rows = self._database.read(
            "SELECT chain_id FROM rootfs_layers WHERE container_id = ? AND position < ? ORDER BY position",
            container_id,
            POSITIONS_PER_MOUNT,
        )
        return [Digest(str(row[0])) for row in rows]

    def forget(self, container_id: ContainerId) -> list[Digest]:
        """Delete a container's rows, on the reserve if need be; the layers that they named."""

        def work(connection: sqlite3.Connection) -> list[Digest]:
            rows = connection.execute(
                "SELECT chain_id FROM rootfs_layers WHERE container_id = ?", (container_id,)
            )
            chain = [Digest(str(row[0])) for row in rows]
            connection.execute("DELETE FROM rootfs WHERE container_id = ?", (container_id,))
            return chain

        return self._database.freeing(work)


def _require(connection: sqlite3.Connection, image: Image) -> None:
    if connection.execute("SELECT 1 FROM images WHERE id = ?", (image.id,)).fetchone() is None:
        raise ImageNotFound(f"image {image.id} is not here any more; pull it again")


def enter_rootfs(connection: sqlite3.Connection, container_id: str, saved: SavedRootfs) -> None:
    """Write the rows of a root file system that has none.

    Raises:
        sqlite3.IntegrityError: it has.
    """
    connection.execute("INSERT INTO rootfs VALUES (?, ?)", (container_id, saved.image_id))
    _enter_layers(connection, container_id, saved.layers)


def _enter_layers(
    connection: sqlite3.Connection, container_id: str, layers: Iterable[tuple[int, str]]
) -> None:
    connection.executemany(
        "INSERT INTO rootfs_layers VALUES (?, ?, ?)",
        [(container_id, position, chain) for position, chain in layers],
    )


def rootfs_of(connection: sqlite3.Connection, container_id: str) -> SavedRootfs | None:
    """What the rows say of a root file system; None when there are none."""
    found = connection.execute(
        "SELECT image_id FROM rootfs WHERE container_id = ?", (container_id,)
    ).fetchone()
    if found is None:
        return None
    layers = connection.execute(
        "SELECT position, chain_id FROM rootfs_layers WHERE container_id = ? ORDER BY position",
        (container_id,),
    )
    return SavedRootfs(str(found[0]), tuple((int(position), str(chain)) for position, chain in layers))


def every_rootfs(connection: sqlite3.Connection) -> dict[str, SavedRootfs]:
    """What the rows say of all root file systems, by container, in two statements."""
    layers: dict[str, list[tuple[int, str]]] = {}
    rows = connection.execute(
        "SELECT container_id, position, chain_id FROM rootfs_layers ORDER BY container_id, position"
    )
    for container_id, position, chain in rows:
        layers.setdefault(str(container_id), []).append((int(position), str(chain)))
    found = connection.execute("SELECT container_id, image_id FROM rootfs")
    return {
        str(container_id): SavedRootfs(str(image_id), tuple(layers.get(str(container_id), ())))
        for container_id, image_id in found
    }


def save_rootfs(place: Path, saved: SavedRootfs) -> None:
    """Write the file of the root file system in ``place``, if it says something else. Blocking."""
    path, data = place / _FILE, saved.encode()
    if not holds(path, data):
        write_atomic(path, data, durable=False)


def read_rootfs(place: Path) -> SavedRootfs:
    """What was saved of the root file system whose directory is ``place``. Blocking.

    Raises:
        SavedDamaged, OSError: nothing that can be read.
    """
    return SavedRootfs.decode(read_bounded(place / _FILE, _FILE_LIMIT))


def is_saved(place: Path, saved: SavedRootfs) -> bool:
    """Whether the file of the root file system in ``place`` says this. Blocking."""
    return holds(place / _FILE, saved.encode())
