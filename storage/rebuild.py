"""A store is brought in line with itself at the daemon's start: rows, the files beside them, and layers.

    a catalogue that was lost         made again from the saved files (storage/saved.py), a row each
    what cannot be made again         stays, and ``<root>/keep-unknown`` names it: nothing is swept until an
                                      operator removes that file; a layer moves to ``<root>/quarantine``
    an image without all its layers   is dropped, so that whoever needs it pulls it again
    a row that the disk damaged       is written again from the saved file
    a saved file that is not there    is written from the rows: stores of earlier versions have none

No layer is walked: one is whole when its tree and its record are there. Nothing of this keeps a start from
succeeding.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from api.errors import PodwrightError
from host.files import remove_tree
from host.mounts import mountpoints_below
from storage.database import Database, referenced_layers
from storage.digest import Digest, InvalidDigest
from storage.layers import Layers, remove_trees
from storage.rootfs_rows import enter_rootfs, every_rootfs, is_saved, read_rootfs, rootfs_of, save_rootfs
from storage.saved import SavedImage, SavedImages, enter_image, image_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rebuilt:
    """What a lost catalogue's rows were made of, and what is there and none can be made for."""

    images: int = 0
    rootfs: int = 0
    unknown: list[str] = field(default_factory=list)


class Mender:
    """See above; every method blocks, and may be repeated."""

    def __init__(self, root: Path, database: Database, layers: Layers) -> None:
        self._root = root
        self._database = database
        self._layers = layers
        self._saved = SavedImages(root)

    def mend(self, *, alone: bool) -> None:
        """All of it, in order; ``alone``: no other process has the store open."""
        if self._database.problem:
            return  # it cannot be written: the next start does it
        steps: list[Callable[[], object]] = [
            self.drop_incomplete,
            self._reconcile_images,
            self._reconcile_rootfs,
        ]
        if self._database.unknown_kept:
            steps.insert(0, lambda: self._rebuild(alone=alone))
        if alone:
            steps.insert(0, self._saved.remove_temporaries)
        for step in steps:
            try:
                step()
            except (OSError, sqlite3.Error, PodwrightError) as error:
                log.warning("the store could not be examined: %s", error)

    # -- a catalogue that was lost ---------------------------------------------------------------

    def _rebuild(self, *, alone: bool) -> None:
        with self._database.transaction() as connection:
            rebuilt = Rebuilt()
            self._enter_images(connection, rebuilt)
            self._enter_rootfs(connection, rebuilt)
            strange = self._strange_layers(connection)
        if rebuilt.images or rebuilt.rootfs:
            log.warning(
                "the catalogue was made again: %d images, %d root file systems",
                rebuilt.images,
                rebuilt.rootfs,
            )
        if alone:
            rebuilt.unknown += (self._quarantine(path) for path in strange)
            quarantine = self._root / "quarantine"
            already = quarantine.iterdir() if quarantine.is_dir() else ()
            rebuilt.unknown = sorted({*rebuilt.unknown, *(f"quarantine/{path.name}" for path in already)})
            self._database.keep_unknown(rebuilt.unknown)

    def _enter_images(self, connection: sqlite3.Connection, rebuilt: Rebuilt) -> None:
        for path in self._saved.files():
            if path.name.startswith("."):
                continue  # being written, or left by a process that was killed
            try:
                image = self._saved.read(path)
            except (PodwrightError, OSError) as error:
                log.error("an image cannot be entered again from %s: %s", path, error)
                rebuilt.unknown.append(f"images/{path.name}")
                continue
            known = connection.execute("SELECT 1 FROM images WHERE id = ?", (image.id,)).fetchone()
            if known is None and self._is_whole(image):
                enter_image(connection, image)
                rebuilt.images += 1

    def _is_whole(self, image: SavedImage) -> bool:
        gone = [layer.chain_id for layer in image.layers if self._layers.is_gone(Digest(layer.chain_id))]
        if gone:
            log.warning("image %s is not entered again: layer %s is gone", image.id, gone[0])
        return not gone

    def _enter_rootfs(self, connection: sqlite3.Connection, rebuilt: Rebuilt) -> None:
        for place in self._containers():
            if rootfs_of(connection, place.name) is not None:
                continue
            if not (place / "upper").exists() and not mountpoints_below(place):
                remove_tree(place)  # half made, or half removed: nothing ran in it, or nothing will
                continue
            try:
                enter_rootfs(connection, place.name, read_rootfs(place))
                rebuilt.rootfs += 1
            except (PodwrightError, OSError, sqlite3.IntegrityError) as error:
                log.error("a root file system cannot be entered again from %s: %s", place, error)
                rebuilt.unknown.append(f"containers/{place.name}")

    def _containers(self) -> Iterator[Path]:
        containers = self._root / "containers"
        found = sorted(containers.iterdir()) if containers.is_dir() else []
        return (path for path in found if path.name.isascii())  # an id is; the rest is nobody's

    def _strange_layers(self, connection: sqlite3.Connection) -> list[Path]:
        needed = referenced_layers(connection)
        return [path for path in sorted((self._root / "layers").iterdir()) if path.name not in needed]

    def _quarantine(self, path: Path) -> str:
        """Move a layer that nothing names to where no pull takes it for whole: perhaps it never was synced.

        Who has it mounted keeps it.
        """
        target = self._layers.set_aside(path)
        log.error("nothing says whose layer %s is: it is now %s", path.name, target)
        return f"quarantine/{target.name}"

    # -- layers that are gone --------------------------------------------------------------------

    def drop_incomplete(self) -> list[str]:
        """Forget the images that lack a layer, and say so; their ids."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT image_id, chain_id FROM image_layers ORDER BY image_id, position"
            )
            lost = {str(image): str(chain) for image, chain in rows.fetchall() if self._gone(str(chain))}
            for image_id in lost:
                self._saved.forget(image_id)
                connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        for image_id, chain in lost.items():
            log.error("image %s was dropped, its layer %s is gone: it must be pulled again", image_id, chain)
        return list(lost)

    def _gone(self, chain: str) -> bool:
        try:
            return self._layers.is_gone(Digest.parse(f"sha256:{chain}"))
        except InvalidDigest:
            return False  # the image is listed with that fault
        except OSError as error:
            log.warning("layer %s could not be examined: %s", chain, error)
            return False  # who cannot look knows nothing

    # -- the files beside ------------------------------------------------------------------------

    def _reconcile_images(self) -> None:
        with self._database.transaction() as connection:
            ids = {str(row[0]) for row in connection.execute("SELECT id FROM images")}
            for image_id in ids:
                self._restore_row(connection, image_id)
            self._saved.save(connection, ids)
            rubbish = [path for path in self._saved.files() if f"sha256:{path.name}" not in ids]
            if self._database.may_sweep:
                remove_trees(path for path in rubbish if not path.name.startswith("."))

    def _restore_row(self, connection: sqlite3.Connection, image_id: str) -> None:
        found = image_of(connection, image_id)
        if found is not None and found.id == image_id:
            return
        try:
            saved = self._saved.read(self._saved.path(image_id))
        except (PodwrightError, OSError):
            return  # the image is listed with what is wrong with it
        enter_image(connection, saved)
        log.warning("the row of image %s was damaged, and is written again", image_id)

    def _reconcile_rootfs(self) -> None:
        with self._database.transaction() as connection:
            rows = every_rootfs(connection)
        for place in self._containers():
            if place.name in rows and not is_saved(place, rows[place.name]):
                self._save_rootfs(place)

    def _save_rootfs(self, place: Path) -> None:
        """By the row as it is now: another process may just have changed both."""
        with self._database.transaction() as connection:
            saved = rootfs_of(connection, place.name)
        if saved is not None:
            save_rootfs(place, saved)
