"""The image store: pull, import, list, find and remove.

    <root>/catalogue.db    names and documents (storage/database.py)
    <root>/open.lock       held shared by every process that has the store open
    <root>/images/         the catalogue's rows of each image once more (storage/saved.py)
    <root>/layers/ ingest/ quarantine/  storage/layers.py
    <root>/containers/     storage/overlay.py

Rubbish of an earlier life is swept at open, if no other process has the store open; what cannot be removed
is in ``leftovers``. The daemon brings rows, files and layers in line before (storage/rebuild.py).
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from api.errors import DeadlineExceeded
from api.ids import ImageId
from host.files import remove_tree, sync_filesystem
from host.private import Tree, claim
from host.reserve import Reserve
from storage.catalogue import Catalogue, Image, LayersVanished, NewImage
from storage.database import Database
from storage.digest import Digest, chain_ids
from storage.layers import Layers
from storage.manifest import Platform, require_platform, this_platform
from storage.policy import Policy
from storage.rebuild import Mender
from storage.reference import Reference
from storage.registry.auth import Credentials, default_paths
from storage.registry.options import ClientOptions
from storage.registry.registries_conf import BadRegistriesConf, Registries
from storage.slots import Slots
from storage.unpack.faults import Limits
from storage.unpacker import House, LayerSource, Unpacker

if TYPE_CHECKING:
    from storage.progress import Watch

log = logging.getLogger(__name__)

_COMMIT_ATTEMPTS = 3

PullKey = tuple[str, Credentials | None]


class PullTookTooLong(DeadlineExceeded):
    """A pull passed its deadline."""


@dataclass(frozen=True, slots=True)
class FilesystemUsage:
    """What a part of the store takes, on the file system that holds ``mountpoint``."""

    mountpoint: Path
    used_bytes: int
    inodes_used: int
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class Options:
    """How a store behaves; files are read again for every pull, so edits need no restart."""

    registries_conf: Path = Path("/etc/containers/registries.conf")
    registries_conf_dir: Path | None = None  # None: registries_conf with .d added
    insecure_registries: Sequence[str] = ()
    policy_file: Path = Path("/etc/containers/policy.json")
    auth_files: Sequence[Path] | None = None  # None: the usual places
    short_names_enforcing: bool = True
    pinned_images: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    parallel_layers: int = 4  # at once from one registry
    total_layers: int = 16  # at once in the whole store
    layers_per_pull: int = 3
    platform: Platform = field(default_factory=this_platform)
    client: ClientOptions = field(default_factory=ClientOptions)
    unpack_stall_timeout_s: float = 300.0
    pull_deadline_s: float = 6 * 3600.0  # of a whole pull; 0: none
    abandoned_s: float = 120.0  # how long a pull goes on for which nobody waits


class Images:
    """The store; make it with ``open`` and end it with ``close``."""

    def __init__(
        self, root: Path, options: Options, database: Database, lock: int, house: House | None = None
    ) -> None:
        self.root = root
        self.options = options
        self.database = database
        unpacker = Unpacker(options.limits, stall_timeout_s=options.unpack_stall_timeout_s, house=house)
        self.layers = Layers(root, database, unpacker, Slots(options.parallel_layers, options.total_layers))
        self.catalogue = Catalogue(database, options.pinned_images)
        # What an earlier life left and cannot be removed, with the reason.
        self.leftovers: dict[Path, OSError] = {}
        self.registries_problem: Exception | None = None
        self._lock = lock
        self._pulls: dict[PullKey, _RunningPull] = {}
        self._pull_tasks: set[asyncio.Task[Image]] = set()
        self._registries = Registries()

    @classmethod
    async def open(
        cls,
        root: Path,
        options: Options | None = None,
        house: House | None = None,
        *,
        reserve: Reserve | None = None,
        repair: bool = False,
    ) -> Self:
        """Open the store below ``root``, making it if need be; ``house`` is for Unpacker, and what frees may
        spend ``reserve``. With ``repair``, which is the daemon's, a damaged catalogue is set aside and made
        again.

        Raises:
            CatalogueTooNew, CatalogueBroken: naming the file and the way out.
        """
        options = options or Options()
        database = partial(Database, root / "catalogue.db", reserve, repair=repair)
        store = await asyncio.to_thread(cls._open, root, options, database, house, repair=repair)
        await store._try_registries()
        return store

    @classmethod
    def _open(
        cls,
        root: Path,
        options: Options,
        database: Callable[[], Database],
        house: House | None,
        *,
        repair: bool,
    ) -> Self:
        claim(Tree(root, crowded=("containers", "layers", "ingest")))
        lock = os.open(root / "open.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            alone = _try_exclusive(lock)
            store = cls(root, options, database(), lock, house)
            if repair:
                Mender(root, store.database, store.layers).mend(alone=alone)
            if alone:
                store.leftovers = store.layers.sweep()
            fcntl.flock(lock, fcntl.LOCK_SH)
        except BaseException:
            os.close(lock)
            raise
        return store

    def reconfigure(self, options: Options) -> None:
        """Behave by other options from now on, but for pulls in flight; bounds of unpacking stay."""
        self.options = options
        self.catalogue.pin(options.pinned_images)

    async def close(self) -> None:
        """Cancel the pulls in flight, undo what they made, and close the catalogue."""
        pulls = list(self._pull_tasks)
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)
        self.database.close()
        os.close(self._lock)

    # -- reading ---------------------------------------------------------------------------------

    def list(self) -> list[Image]:
        """All images."""
        return self.catalogue.images()

    def find(self, text: str) -> Image | None:
        """An image by id, unique id prefix, tag, name (of ``latest``), digest, or short name."""
        return self.catalogue.find(text, self._registries)

    def fs_info(self) -> FilesystemUsage:
        """What all layers take; ``mountpoint`` is the store's root."""
        used, inodes = self.catalogue.disk_usage()
        return FilesystemUsage(self.root, used, inodes, time.time_ns())

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the catalogue, and what is kept because of it."""
        return tuple(text for text in (self.database.problem, self.database.unknown_kept) if text)

    def discard(self, leftover: Path) -> None:
        """Remove one of ``leftovers``. Blocking.

        Raises:
            OSError: it still cannot be removed.
        """
        remove_tree(leftover)
        self.leftovers.pop(leftover, None)

    async def load_registries(self) -> Registries:
        """registries.conf as it is now."""
        return await asyncio.to_thread(
            Registries.load,
            self.options.registries_conf,
            self.options.registries_conf_dir,
            enforcing=self.options.short_names_enforcing,
            insecure=self.options.insecure_registries,
        )

    def config_document(self, image_id: ImageId) -> Mapping[str, object] | None:
        """See Catalogue."""
        return self.catalogue.config_document(image_id)

    async def _try_registries(self) -> None:
        """Take registries.conf as it is now; one that cannot be used is said here, and fails every pull."""
        try:
            self._take_registries(await self.load_registries())
        except BadRegistriesConf as error:
            log.warning("no image can be pulled until this is mended: %s", error)
            self.registries_problem = error

    def _take_registries(self, registries: Registries) -> None:
        for remark in registries.remarks:
            if remark not in self._registries.remarks:  # once, not at every pull
                log.warning("%s", remark)
        self._registries = registries

    # -- changing --------------------------------------------------------------------------------

    async def pull(
        self,
        reference: str,
        credentials: Credentials | None = None,
        *,
        auth_files: Sequence[Path] | None = None,
        policy_file: Path | None = None,
        watch: Callable[[], "Watch"] | None = None,
    ) -> Image:
        """Have the image that a registry has under ``reference`` now; layers that are here stay here.

        A pull of the same reference with the same credentials joins the one in flight. A caller that goes
        away does not end it, but when all have gone and nobody comes back for ``abandoned_s`` it is undone,
        and so is one that takes longer than ``pull_deadline_s``. ``auth_files`` and ``policy_file`` stand in
        for the configured ones. ``watch`` is for storage.progress.

        Raises:
            InvalidReference, BadRegistriesConf, AmbiguousShortName, RegistryBlocked, RejectedByPolicy,
            SignaturesUnsupported, RegistryError, DigestMismatch, BadManifest, NotAnImage, NoMatchingPlatform,
            LayerError, GaveWay, PullTookTooLong
        """
        key = (reference, credentials)
        running = self._pulls.get(key)
        if running is None:
            from storage.pull import Pull  # aiohttp is large, and many daemons never pull

            self._take_registries(registries := await self.load_registries())
            policy = await asyncio.to_thread(Policy.load, policy_file or self.options.policy_file)
            running = self._pulls.get(key)  # another caller may have come first
            if running is None:
                files = auth_files if auth_files is not None else self.options.auth_files
                paths = default_paths() if files is None else [*files]
                pull = Pull(self, registries, policy, credentials, paths)
                running = self._start(key, partial(pull.run, Reference.parse(reference)), watch)
        return await running.wait(self.options.abandoned_s, lambda: self._abandon(key))

    def _start(
        self, key: PullKey, work: Callable[[], Awaitable[Image]], watch: Callable[[], "Watch"] | None
    ) -> "_RunningPull":
        task = asyncio.create_task(_in_time(work, self.options.pull_deadline_s), name=f"pull {key[0]}")
        self._pulls[key] = running = _RunningPull(task, None if watch is None else watch())
        self._pull_tasks.add(task)
        task.add_done_callback(lambda _: self._pull_ended(key, running))
        return running

    def _abandon(self, key: PullKey) -> None:
        """Nobody waits: whoever comes from now on begins anew."""
        log.warning("pull given up, nobody waits for it reference=%s", key[0])
        self._pulls.pop(key).task.cancel()

    def _pull_ended(self, key: PullKey, running: "_RunningPull") -> None:
        task = running.task
        self._pull_tasks.discard(task)
        running.end()
        if self._pulls.get(key) is running:
            del self._pulls[key]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if running.watch is not None:
            running.watch.ended(error)
        if error is not None and not task.cancelled():
            log.warning("pull failed reference=%s error=%s", key[0], error)

    async def remove(self, text: str) -> None:
        """Remove an image with all its names; an unknown one is no error.

        When this returns the image is in no list. Layers that a container's root file system uses stay
        until that goes.
        """
        image = self.find(text)
        if image is not None:
            await asyncio.shield(self._remove(image))

    async def _remove(self, image: Image) -> None:
        await asyncio.to_thread(self.catalogue.remove, image)
        await self.layers.collect(image.layers)

    async def import_archive(self, path: Path, name: str | None = None) -> Sequence[Image]:
        """Import a docker save archive or an OCI layout (tar, tar.gz, or directory).

        ``name`` replaces the names in the archive, which must then hold one image.

        Raises:
            BadArchive, InvalidReference, and what a pull raises for its content.
        """
        from storage.importer import import_archive

        return await import_archive(self, path, name)

    async def add(
        self,
        config: bytes,
        manifest: bytes,
        sources: Sequence[LayerSource],
        tags: Sequence[Reference],
        digests: Sequence[Reference] = (),
    ) -> Image:
        """Fetch the layers of an image and enter it under its names; all or nothing."""
        chain = chain_ids(tuple(source.diff_id for source in sources))
        names = tuple(str(tag) for tag in tags), tuple(dict.fromkeys(str(digest) for digest in digests))
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            async with self.layers.ensured(sources, self.options.layers_per_pull) as records:
                new = NewImage(config, manifest, tuple(zip(chain, records, strict=True)), *names)
                try:
                    await asyncio.to_thread(self._commit, new, chain)
                    return self._known(new.id)
                except LayersVanished:
                    if attempt == _COMMIT_ATTEMPTS:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def unchanged(self, config: Digest, manifest: bytes, names: Sequence[Reference]) -> Image | None:
        """The image of this config if all of it is here, by this manifest and under all ``names``: nothing is
        to be fetched or written then.

        Raises:
            NoMatchingPlatform: it is for another.
        """
        image = self.catalogue.find(str(config), self._registries)
        if image is None or image.id != str(config) or image.fault:
            return None
        if not {str(name) for name in names} <= {*image.repo_tags, *image.repo_digests}:
            return None
        if not self.catalogue.came_by(image.id, manifest):
            return None
        if await asyncio.to_thread(lambda: any(map(self.layers.is_gone, image.layers))):
            return None
        require_platform(self.catalogue.platform_of(image.id), self.options.platform)
        return image

    def _commit(self, new: NewImage, chain: Sequence[Digest]) -> None:
        # One sync for the whole image, before any row says that it is there.
        sync_filesystem(self.root)
        self.catalogue.commit(new, [self.layers.tree(chain_id) for chain_id in chain], time.time_ns())

    def _known(self, image_id: ImageId) -> Image:
        image = self.catalogue.find(image_id, self._registries)
        if image is None:
            raise LayersVanished(f"image {image_id} was removed while it was pulled")
        return image


class _RunningPull:
    """A pull in flight, and how many wait for it."""

    def __init__(self, task: asyncio.Task[Image], watch: "Watch | None") -> None:
        self.task = task
        self.watch = watch
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, abandoned_s: float, abandon: Callable[[], None]) -> Image:
        """Its image; ``abandon`` is called when this was the last to wait and none has come since."""
        self.end()
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self.task.done():
                self._timer = asyncio.get_running_loop().call_later(abandoned_s, abandon)

    def end(self) -> None:
        """Let the clock of an abandoned pull stand still."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _in_time(work: Callable[[], Awaitable[Image]], deadline_s: float) -> Image:
    limit = asyncio.timeout(deadline_s or None)
    try:
        async with limit:
            return await work()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise PullTookTooLong(f"the pull was not done after {deadline_s:g} s; layers were undone") from error


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True
