"""Unpacked layers, shared by every image that has them.

    <root>/layers/<chain id hex>/             in a form of storage/snapshots
    <root>/layers/<chain id hex>/layer.json   its sizes (LayerRecord); without it the layer is not whole
    <root>/ingest/<random>/                   being unpacked, or being removed (storage/trash.py); rubbish
                                              after a crash
    <root>/quarantine/<chain id hex>.<random> was no whole layer, or nobody's; may still be mounted

A layer appears by one rename and goes by one rename, so a reader sees all of it or nothing, and what made it
unneeded is on disk before it goes: after a power cut no row names a layer that is gone. It is needed while
the catalogue names it or somebody holds a lease on it; ``collect`` takes away the rest. A pull leases its
layers from the first look until the image is committed.
"""

import asyncio
import contextlib
import errno
import json
import logging
import secrets
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from weakref import WeakValueDictionary

from host.files import FileTooLarge, read_bounded, remove_tree
from storage.database import Database, layers_of_containers, referenced_layers
from storage.digest import Digest, InvalidDigest, chain_ids
from storage.slots import Place, Slots
from storage.snapshots.directories import Directories
from storage.snapshots.protocol import Snapshots
from storage.trash import Size, Trash
from storage.unpacker import LayerSource, Unpacked, Unpacker

log = logging.getLogger(__name__)

_RECORD_LIMIT = 64 << 10


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """Sizes of an unpacked layer: of its archive, on disk, and in inodes."""

    archive_bytes: int
    disk_bytes: int
    inodes: int


class Layers:
    """The layers below ``root``; ``slots`` bounds how many are unpacked at once."""

    def __init__(
        self,
        root: Path,
        database: Database,
        unpacker: Unpacker,
        slots: Slots,
        snapshots: Snapshots | None = None,
    ) -> None:
        self._layers = root / "layers"
        self._ingest = root / "ingest"
        self._quarantine = root / "quarantine"
        self._database = database
        self._unpacker = unpacker
        self._slots = slots
        self._snapshots = snapshots or Directories()
        # What an earlier life left or a removal leaves and cannot be removed, with the reason.
        self.leftovers: dict[Path, OSError] = {}
        self.trash = Trash(self._ingest, self.leftovers.__setitem__)
        self._leases: Counter[Digest] = Counter()
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()
        for directory in (self._layers, self._ingest):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, chain_id: Digest) -> Path:
        """The layer's directory."""
        return self._layers / chain_id.hex

    def tree(self, chain_id: Digest) -> Path:
        """Where its files are to be seen while ``lower`` has them."""
        return self._snapshots.tree(self.place(chain_id))

    def lower(self, chain: Sequence[Digest]) -> list[Path]:
        """Directories to give to overlayfs, in the order of ``chain``. Blocking.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        return self._snapshots.lower([self.place(chain_id) for chain_id in chain])

    def record(self, chain_id: Digest) -> LayerRecord | None:
        """Its sizes; None when it is not there, or not whole. Blocking.

        Raises:
            OSError: nobody can tell.
        """
        try:
            data = read_bounded(self.place(chain_id) / "layer.json", _RECORD_LIMIT)
            return LayerRecord(**json.loads(data)) if self._snapshots.is_whole(self.place(chain_id)) else None
        except (
            FileNotFoundError,
            NotADirectoryError,
            IsADirectoryError,
            ValueError,
            TypeError,
            FileTooLarge,
        ):
            return None

    def there(self) -> list[Digest]:
        """What is in the directory of layers, whole or not. Blocking."""
        found = []
        for path in sorted(self._layers.iterdir()):
            with contextlib.suppress(InvalidDigest):
                found.append(Digest.parse(f"sha256:{path.name}"))
        return found

    def is_gone(self, chain_id: Digest) -> bool:
        """Whether no whole layer is there. Blocking.

        Raises:
            OSError: nobody can tell.
        """
        return self.record(chain_id) is None

    def set_aside(self, path: Path) -> Path:
        """Move a directory out of layers/, so that no pull takes it for whole; where it is then. Blocking."""
        self._quarantine.mkdir(mode=0o700, exist_ok=True)
        target = self._quarantine / f"{path.name}.{secrets.token_hex(4)}"
        self._snapshots.release(path)
        path.rename(target)
        return target

    @contextlib.asynccontextmanager
    async def ensured(
        self, sources: Sequence[LayerSource], parallel: int = 3
    ) -> AsyncIterator[tuple[LayerRecord, ...]]:
        """Have all layers of an image, bottom first, fetching what is missing; they stay while this is open.

        On an exception, inside too, layers that nothing else needs go again.
        """
        chain = chain_ids(tuple(source.diff_id for source in sources))
        self._leases.update(chain)
        try:
            try:
                yield await self._ensure_all(sources, chain, asyncio.Semaphore(parallel))
            finally:
                self._leases.subtract(chain)
        except BaseException:
            await asyncio.shield(self.collect(chain))
            raise

    async def _ensure_all(
        self, sources: Sequence[LayerSource], chain: tuple[Digest, ...], slots: asyncio.Semaphore
    ) -> tuple[LayerRecord, ...]:
        tasks: list[asyncio.Task[LayerRecord]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for index, source in enumerate(sources):
                    below = tasks[-1] if tasks else None
                    tasks.append(group.create_task(self._ensure(source, chain[: index + 1], below, slots)))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return tuple(task.result() for task in tasks)

    async def _ensure(
        self,
        source: LayerSource,
        chain: tuple[Digest, ...],
        below: asyncio.Task[LayerRecord] | None,
        slots: asyncio.Semaphore,
    ) -> LayerRecord:
        """One layer. Its lock is held while waiting for the one below: locks are taken downwards only."""
        async with self._lock(chain[-1]):
            if (known := await asyncio.to_thread(self.record, chain[-1])) is not None:
                if source.progress is not None:
                    source.progress.is_here()
                return known
            with contextlib.nullcontext() if source.progress is None else source.progress.fetched():
                return await self._fetch(source, chain, below, slots)

    async def _fetch(
        self,
        source: LayerSource,
        chain: tuple[Digest, ...],
        below: asyncio.Task[LayerRecord] | None,
        slots: asyncio.Semaphore,
    ) -> LayerRecord:
        async with self._scratch() as scratch:
            async with slots, self._slots.place(source.owner) as place:
                counted = replace(source, open=lambda: _counted(source, place))
                target = await asyncio.to_thread(self._snapshots.begin, scratch)
                unpacked = await self._unpacker.unpack(counted, target)
            if below is not None:
                await asyncio.shield(below)
            return await asyncio.to_thread(self._publish, scratch, unpacked, chain)

    def _publish(self, scratch: Path, unpacked: Unpacked, chain: tuple[Digest, ...]) -> LayerRecord:
        self._snapshots.complete(scratch, unpacked, [self.place(chain_id) for chain_id in chain[:-1]])
        record = LayerRecord(unpacked.archive_bytes, unpacked.disk_bytes, unpacked.inodes)
        (scratch / "layer.json").write_text(json.dumps(asdict(record)))
        try:
            scratch.rename(self.place(chain[-1]))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            # Another process was faster, and its layer is as good as this one; or it is none.
            if self.is_gone(chain[-1]):
                aside = self.set_aside(self.place(chain[-1]))
                log.error("layer %s was not whole: it is now %s", chain[-1], aside)
                scratch.rename(self.place(chain[-1]))
        return record

    @contextlib.asynccontextmanager
    async def _scratch(self) -> AsyncIterator[Path]:
        """A fresh directory below ingest/, removed unless it was renamed away."""
        scratch = self._ingest / secrets.token_hex(8)
        scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            await asyncio.shield(asyncio.to_thread(remove_tree, scratch))

    def _lock(self, chain_id: Digest) -> asyncio.Lock:
        lock = self._locks.get(chain_id)
        if lock is None:
            lock = self._locks[chain_id] = asyncio.Lock()
        return lock

    async def collect(self, chain: Iterable[Digest]) -> None:
        """Remove those of the layers that neither the catalogue nor a lease needs.

        When this returns they are no layers any more; a large one is removed behind (storage/trash.py).
        """
        async with contextlib.AsyncExitStack() as stack:
            doomed = []
            for chain_id in sorted(set(chain)):  # one order for all who take several locks
                if self._leases[chain_id] <= 0:
                    del self._leases[chain_id]
                    await stack.enter_async_context(self._lock(chain_id))
                    if self._leases[chain_id] <= 0:
                        doomed.append(chain_id)
            trees = await asyncio.to_thread(self._unlink_unreferenced, doomed)
        stayed = await asyncio.to_thread(self.trash.remove_now, trees)
        self.trash.begin()
        for error in stayed.values():
            raise error

    def _unlink_unreferenced(self, doomed: list[Digest]) -> dict[Path, Size]:
        """Move layers to ingest/, in a transaction as those have who check a layer and then refer to it."""
        trees: dict[Path, Size] = {}

        def unlink(connection: sqlite3.Connection) -> None:
            needed = referenced_layers(connection)
            if not self._database.may_sweep:
                return  # a container without a row may use them
            unneeded = [chain_id for chain_id in doomed if chain_id.hex not in needed]
            if unneeded:
                self._database.sync()
            for chain_id in unneeded:
                size = self._size(chain_id)
                self._snapshots.release(self.place(chain_id))
                with contextlib.suppress(FileNotFoundError):
                    trees[self.trash.throw(self.place(chain_id))] = size

        self._database.freeing(unlink)
        return trees

    def _size(self, chain_id: Digest) -> Size:
        with contextlib.suppress(OSError):
            if (record := self.record(chain_id)) is not None:
                return Size(record.disk_bytes, record.inodes)
        return Size()

    def sweep(self) -> dict[Path, OSError]:
        """Remove rubbish of an earlier life; only while no other process has the store open. Blocking.

        What is large waits for ``trash.begin``. What cannot be removed stays, and is the answer.
        """
        rubbish = dict.fromkeys(self._ingest.iterdir(), Size())
        if self._database.may_sweep:  # who does not know what is needed removes none of it
            rubbish |= dict.fromkeys(self._unneeded(), Size())
        stayed = self.trash.remove_now(rubbish)
        for path in rubbish:
            log.info("leftover %s path=%s", "stays" if path in stayed else "removed", path)
        return stayed

    def _unneeded(self) -> list[Path]:
        with self._database.transaction() as connection:
            needed = referenced_layers(connection)
            mounted = layers_of_containers(connection)
        rubbish = [path for path in self._layers.iterdir() if path.name not in needed]
        if self._quarantine.is_dir():
            rubbish += [p for p in self._quarantine.iterdir() if p.name.partition(".")[0] not in mounted]
        if rubbish:
            self._database.sync()
        for path in rubbish:
            self._snapshots.release(path)
        return rubbish


async def _counted(source: LayerSource, place: Place) -> AsyncIterator[bytes]:
    chunks = source.open()
    if source.progress is not None:
        source.progress.begins()
    async with aclosing(chunks) if hasattr(chunks, "aclose") else contextlib.nullcontext(chunks):  # type: ignore[type-var]
        async for chunk in chunks:
            place.bytes += len(chunk)
            if source.progress is not None:
                source.progress.came(len(chunk))
            yield chunk


def remove_trees(paths: Iterable[Path]) -> dict[Path, OSError]:
    """Remove each; those that cannot be removed, with the reason."""
    stayed = {}
    for path in paths:
        try:
            remove_tree(path)
        except OSError as error:
            stayed[path] = error
        log.info("leftover %s path=%s", "stays" if path in stayed else "removed", path)
    return stayed
