"""The image store: pull, import, list, find and remove; a façade over the modules that do it.

    <root>/catalogue.db    names and documents (storage/database.py)
    <root>/open.lock       held shared by every process that has the store open
    <root>/images/         the catalogue's rows of each image once more (storage/saved.py)
    <root>/layers/ ingest/ quarantine/  storage/layers.py
    <root>/containers/     storage/overlay.py
    <root>/signatures/     what spoke for images at their pull (storage/signatures/kept.py)

Rubbish of an earlier life is swept at open, if no other process has the store open; what cannot be removed
is in ``leftovers``. The daemon brings rows, files and layers in line before (storage/rebuild.py).
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from api.ids import ImageId
from host.files import remove_tree
from host.private import Tree, claim
from host.reserve import Reserve
from storage.catalogue import Catalogue, Image
from storage.database import Database
from storage.entering import Entering
from storage.layers import Layers
from storage.options import Options
from storage.pulls import Pulls, Terms
from storage.rebuild import Mender
from storage.reference import InvalidReference, Reference
from storage.registry.auth import Credentials, default_paths
from storage.registry.namespaced import AuthText, take
from storage.registry.registries_conf import BadRegistriesConf, Registries
from storage.rootfs_rows import RootfsRows
from storage.signatures.kept import Kept
from storage.slots import Slots
from storage.unpacker import House, Unpacker

if TYPE_CHECKING:
    from storage.progress import Watch
    from storage.signatures.gate import Gate
    from storage.signatures.policies import Policies
    from storage.usage import LayerUsage
    from storage.verify import Verifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FilesystemUsage:
    """What a part of the store takes, on the file system that holds ``mountpoint``."""

    mountpoint: Path
    used_bytes: int
    inodes_used: int
    timestamp_ns: int


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
        self.leftovers = self.layers.leftovers
        self.registries_problem: Exception | None = None
        self.entering = Entering(root, self.catalogue, self.layers)
        self._lock = lock
        self._pulls = Pulls()
        self._registries = Registries()

    @cached_property
    def gate(self) -> "Gate":
        """What images pass; imported when the first one comes."""
        from storage.signatures.gate import Gate

        return Gate(self.root)

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
        store.layers.trash.begin()
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
                store.leftovers.update(store.layers.sweep())
                if store.database.may_sweep:
                    Kept(root).sweep({image.id for image in store.catalogue.images()})
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
        """Cancel the pulls in flight, undo what they made, and close the catalogue.

        What is being removed behind is left to the next start; ``settle`` first waits for it.
        """
        await self._pulls.close()
        await self.layers.trash.close()
        self.database.close()
        os.close(self._lock)

    async def settle(self) -> None:
        """Wait until nothing is being removed behind."""
        await self.layers.trash.settle()

    # -- reading ---------------------------------------------------------------------------------

    def list(self) -> list[Image]:
        """All images."""
        return self.catalogue.images()

    def find(self, text: str) -> Image | None:
        """An image by id, unique id prefix, tag, name (of ``latest``), digest, or short name."""
        return self.catalogue.find(text, self._registries)

    def fs_info(self) -> FilesystemUsage:
        """What all layers take, and what is being removed; ``mountpoint`` is the store's root."""
        used, inodes = self.catalogue.disk_usage()
        going = self.layers.trash.size()
        return FilesystemUsage(self.root, used + going.bytes, inodes + going.inodes, time.time_ns())

    def unused(self, *, named: bool) -> Sequence[Image]:
        """Images that no container has and that are not pinned; with ``named`` also those that have a tag."""
        images = self.list()
        used = RootfsRows(self.root, self.database).used(images)
        return [
            image
            for image in images
            if image.id not in used and not image.pinned and (named or not image.repo_tags)
        ]

    def layer_usage(self) -> "Sequence[LayerUsage]":
        """Every layer on disk, and whose it is. Blocking."""
        from storage.usage import by_layer

        records = {chain_id: self.layers.record(chain_id) for chain_id in self.layers.there()}
        return by_layer(self.list(), records)

    def verifier(self) -> "Verifier":
        """What examines layers and drops broken ones."""
        from storage.verify import Verifier

        return Verifier(self.database, self.catalogue, self.layers)

    async def tag(self, image: Image, name: str) -> str:
        """Give an image one more name; how it is listed.

        Raises:
            InvalidReference: it is none, or has a digest.
        """
        reference = Reference.parse(name)
        if reference.digest is not None:
            raise InvalidReference(name, "it has a digest, and a tag is wanted")
        full = str((reference.qualified("localhost") if reference.is_short else reference).with_default_tag())
        await asyncio.to_thread(self.catalogue.tag, image, full)
        return full

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

    async def require_signed(self, image: Image, asked: str, namespace: str = "") -> None:
        """Return when an image may be used by a container of a namespace that calls it ``asked``: by the
        policy that somebody configured, as it is now, and by the signatures that were kept at the pull.

        The machine's own policy.json is for pulls, as in CRI-O, unless there are policies of namespaces.

        Raises:
            BadPolicy, InvalidReference, SignatureValidationFailed, TrustUnavailable
        """
        if self.options.signature_policy is None and self.options.signature_policy_dir is None:
            return
        policy = await asyncio.to_thread(_policies(self.options).explicit, namespace)
        if policy is None:
            return
        for name in _meant(asked, image, self._registries):
            await self.gate.require(policy, name, image.id)

    # -- changing --------------------------------------------------------------------------------

    async def pull(
        self,
        reference: str,
        credentials: Credentials | None = None,
        *,
        auth_files: Sequence[Path] | None = None,
        namespace: str = "",
        watch: Callable[[], "Watch"] | None = None,
    ) -> Image:
        """Have the image that a registry has under ``reference`` now; layers that are here stay here.

        A pull on the same terms joins the one in flight (storage/pulls.py). ``auth_files`` stand in
        for the configured ones, and the policy is that for pods of ``namespace``.
        ``watch`` is for storage/progress.py.

        Raises:
            InvalidReference, BadRegistriesConf, AmbiguousShortName, RegistryBlocked, BadPolicy,
            SignatureValidationFailed, TrustUnavailable, RegistryError, DigestMismatch, BadManifest,
            NotAnImage, NoMatchingPlatform, LayerError, GaveWay, PullTookTooLong
        """
        from storage.pull import Pull  # aiohttp is large, and many daemons never pull

        options = self.options
        self._take_registries(registries := await self.load_registries())
        policy = await asyncio.to_thread(_policies(options).load, namespace)
        files = auth_files if auth_files is not None else options.auth_files
        paths = default_paths() if files is None else [*files]
        own: AuthText | None = None
        if options.namespaced_auth_dir is not None and namespace:
            own = await asyncio.to_thread(take, options.namespaced_auth_dir, namespace, reference)
        terms = Terms(reference, credentials, registries, policy, paths, options, own)
        return await self._pulls.run(terms, Pull(self.entering, self.gate, terms).run, watch)

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
        await asyncio.to_thread(self.gate.forget, image.id)
        await self.layers.collect(image.layers)

    async def import_archive(self, path: Path, name: str | None = None) -> Sequence[Image]:
        """Import a docker save archive or an OCI layout (tar, tar.gz, or directory).

        ``name`` replaces the names in the archive, which must then hold one image.

        Raises:
            BadArchive, InvalidReference, and what a pull raises for its content.
        """
        from storage.importer import import_archive

        return await import_archive(self.entering, self.options, self.root / "ingest", path, name)


def _policies(options: Options) -> "Policies":
    from storage.signatures.policies import Policies

    return Policies(options.policy_file, options.signature_policy, options.signature_policy_dir)


def _meant(asked: str, image: Image, registries: Registries) -> list[Reference]:
    """The names that a policy knows an image by: of what a short one may mean, the image's own, else all.

    Raises:
        InvalidReference: it is no name, but an id, say.
    """
    candidates = registries.candidates(Reference.parse(asked).with_default_tag())
    own = [each for each in candidates if str(each) in (*image.repo_tags, *image.repo_digests)]
    return own or candidates


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True
