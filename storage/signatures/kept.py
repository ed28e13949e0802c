"""The evidence that is kept with images, for containers that are made without a network.

    <root>/signatures/<hex of the image's id>-<hex of the manifest>   Record

The manifest is kept too: it was signed, and it names the image's config by digest, so what was verified at
the pull can be verified again, whatever the catalogue says by then. Files are written and synced before the
image's row is committed; files of images that are gone are swept at the store's next start. They are believed
as little as what a registry says: whoever changes one loses the image's signatures, and gains none.
"""

import base64
import contextlib
import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from api.ids import ImageId
from host.files import FileTooLarge, read_bounded, remove_temporaries, write_atomic
from storage.digest import Digest
from storage.manifest import MANIFEST_LIMIT
from storage.signatures.evidence import KEPT_BYTES, Evidence

log = logging.getLogger(__name__)

_LIMIT = 4 * (KEPT_BYTES + MANIFEST_LIMIT)
_RECORDS = 4  # of one image


@dataclass(frozen=True, slots=True)
class Record:
    """A manifest and what speaks for it."""

    manifest: bytes
    evidence: Evidence

    def encode(self) -> bytes:
        """The bytes of its file."""
        head = json.dumps({"manifest": base64.b64encode(self.manifest).decode()}).encode()
        return head + b"\n" + self.evidence.encode()

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """Read what ``encode`` wrote; ValueError for anything else."""
        head, _, rest = data.partition(b"\n")
        try:
            manifest = base64.b64decode(json.loads(head)["manifest"], validate=True)
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not of the form that this version knows: {error!r}") from error
        return cls(manifest, Evidence.decode(rest))


class Kept:
    """The files below ``root``. All methods block."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "signatures"

    def keep(self, image_id: ImageId, record: Record) -> None:
        """Add to what is kept: what is new in front, and what was there as far as there is room."""
        if not record.evidence.signatures:
            return
        path = self._path(image_id, record.manifest)
        before = self._read(path)
        signatures = record.evidence.signatures
        if before is not None:
            signatures += tuple(each for each in before.evidence.signatures if each not in signatures)
        data = Record(record.manifest, Evidence(signatures)).encode()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if before is None or before.encode() != data:
            write_atomic(path, data)
            self._drop_oldest(image_id, path)

    def records(self, image_id: ImageId) -> list[Record]:
        """All that is kept of an image."""
        return [found for path in self._paths(image_id) if (found := self._read(path)) is not None]

    def forget(self, image_id: ImageId) -> None:
        """Remove what is kept of an image."""
        for path in self._paths(image_id):
            path.unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> None:
        """Remove what is kept of images other than these, and what a killed process left half written; only
        while no other process writes here."""
        if not self._directory.is_dir():
            return
        remove_temporaries(self._directory)
        for path in list(self._directory.iterdir()):
            if f"sha256:{path.name.partition('-')[0]}" not in known:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, image_id: ImageId, manifest: bytes) -> Path:
        return self._directory / f"{Digest.parse(image_id).hex}-{Digest.of(manifest).hex}"

    def _paths(self, image_id: ImageId) -> Iterator[Path]:
        begin = f"{image_id.removeprefix('sha256:')}-"
        with contextlib.suppress(FileNotFoundError):
            yield from [path for path in self._directory.iterdir() if path.name.startswith(begin)]

    def _read(self, path: Path) -> Record | None:
        try:
            return Record.decode(read_bounded(path, _LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, FileTooLarge, ValueError) as error:
            log.warning("kept signatures cannot be used: %s: %s; pull the image again", path, error)
            return None

    def _drop_oldest(self, image_id: ImageId, newest: Path) -> None:
        def age(path: Path) -> int:
            try:
                return path.lstat().st_mtime_ns
            except FileNotFoundError:
                return 0

        others = sorted((path for path in self._paths(image_id) if path != newest), key=age, reverse=True)
        for path in others[_RECORDS - 1 :]:
            path.unlink(missing_ok=True)
