"""Root file systems of containers: an overlay of the image's layers and a directory of the container's own.

    <root>/containers/<id>/upper     what the container wrote
    <root>/containers/<id>/work      overlayfs's own
    <root>/containers/<id>/merged    the mount, the root file system
    <root>/containers/<id>/rootfs.saved  its rows once more (storage/rootfs_rows.py)
    <root>/containers/<id>/userns    a link to the pod's pinned user namespace, if the ids are mapped by one

A row of the catalogue comes first and goes last: a directory or mount without one is rubbish of a crash.
``upper`` comes after the saved rows and goes before them: a directory without it holds nothing of anybody.
"""

import asyncio
import errno
import logging
import os
import sqlite3
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.errors import FailedPrecondition, NotFound, PodwrightError
from api.ids import ContainerId
from host.disk_usage import disk_usage
from host.files import Budget, BudgetSpent, remove_tree
from host.mounts import (
    MNT_DETACH,
    UMOUNT_NOFOLLOW,
    Mount,
    mountpoints_below,
    mounts,
    points_below,
    umount_if_mounted,
)
from host.overlayfs import overlay
from host.threads import DetachedThreads
from storage.catalogue import Image, LayersVanished
from storage.database import Database
from storage.digest import Digest
from storage.image_volumes import ImageVolumes
from storage.layers import Layers
from storage.lower import LowerDirectories
from storage.rebuild import Mender
from storage.rootfs_rows import RootfsExists, RootfsRows, save_rootfs
from storage.trash import AT_ONCE, Size

log = logging.getLogger(__name__)

_USAGE_TTL_S = 10.0
# A measurement that takes longer than this is renewed less often by as much: a twentieth of the time at most.
_QUICKLY_MEASURED_S = _USAGE_TTL_S / 20
# How long a caller waits for the first measurement of a tree, and how many trees are measured at once.
_USAGE_PATIENCE_S = 0.25
_MEASURERS = 2


class RootfsNotFound(NotFound):
    """No root file system was prepared for this container."""


class StillHeld(FailedPrecondition):
    """What a container wrote cannot be removed: somebody has made a file immutable."""


# No sync: what a container writes into its layer lives no longer than the container, and without this an
# unmount writes out all that the whole file system below has waiting.
_OPTIONS = ("volatile",)


@dataclass(frozen=True, slots=True)
class _Usage:
    bytes: int
    inodes: int
    good_until_s: float


class RootfsManager:
    """Makes and removes root file systems below ``<root>/containers``."""

    def __init__(
        self,
        root: Path,
        database: Database,
        layers: Layers,
        *,
        usage_ttl_s: float = _USAGE_TTL_S,
        usage_patience_s: float = _USAGE_PATIENCE_S,
    ) -> None:
        self._containers = root / "containers"
        self._database = database
        self._layers = layers
        self._rows = RootfsRows(root, database)
        self._lower = LowerDirectories(root, layers)
        self._mender = Mender(root, database, layers)
        self._usage_ttl_s = usage_ttl_s
        self._usage_patience_s = usage_patience_s
        self._usage: dict[ContainerId, _Usage] = {}
        self._measuring: dict[ContainerId, asyncio.Future[_Usage]] = {}
        self._measurers = DetachedThreads("usage", _MEASURERS)
        self._unmeasured: set[ContainerId] = set()  # those that the log names already
        self.image_volumes = ImageVolumes(self._rows, self._lower, self._mender)
        self._containers.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, container_id: ContainerId) -> Path:
        """Where the root file system is mounted, or would be."""
        return self._containers / container_id / "merged"

    async def prepare(self, container_id: ContainerId, image: Image, userns: Path | None = None) -> Path:
        """Mount a fresh root file system over the image's layers and return its path.

        ``userns``, a pinned user namespace, maps the layers' ids: inside, their owners are as in the image.

        Raises:
            ImageNotFound: the image was removed meanwhile.
            LayersVanished: a layer is gone; the image is dropped then, so that it is pulled again.
            RootfsExists: the container has one.
            OSError: the kernel refuses the mount; nothing is left then.
        """
        preparing = asyncio.ensure_future(self._prepare(container_id, image, userns))
        try:
            return await asyncio.shield(preparing)
        except asyncio.CancelledError:
            # The thread cannot be stopped: what it makes is taken away, as nobody will hear of it.
            await asyncio.wait({preparing})
            if preparing.exception() is None:
                await self.remove(container_id)
            raise

    async def _prepare(self, container_id: ContainerId, image: Image, userns: Path | None) -> Path:
        try:
            return await asyncio.to_thread(self._make, container_id, image, userns)
        except RootfsExists:
            raise  # it is another call's, and stays
        except LayersVanished:
            await self.remove(container_id)
            await asyncio.to_thread(self._mender.drop_incomplete)
            raise
        except BaseException:
            await self.remove(container_id)
            raise

    def _make(self, container_id: ContainerId, image: Image, userns: Path | None) -> Path:
        saved = self._rows.enter(container_id, image)
        place = self._containers / container_id
        place.mkdir(mode=0o700)
        save_rootfs(place, saved)
        for name in ("upper", "work", "merged"):
            (place / name).mkdir(mode=0o755)
            (place / name).chmod(0o755)
        if userns is not None:
            (place / "userns").symlink_to(userns)
        return self._mount(container_id, image.layers)

    def _mount(self, container_id: ContainerId, chain: Sequence[Digest]) -> Path:
        place = self._containers / container_id
        with self._lower.seen_from(place, chain) as lower:
            _copy_root_mode(lower[0], place / "upper")
            overlay(lower, place / "upper", place / "work", place / "merged", options=_OPTIONS)
        return place / "merged"

    async def remove(self, container_id: ContainerId) -> None:
        """Unmount and delete a root file system, and the layers that nothing else needs; idempotent.

        A large one is known no more when this returns, and deleted behind (storage/trash.py).
        """
        await asyncio.shield(self._remove(container_id))

    async def _remove(self, container_id: ContainerId) -> None:
        chain = await asyncio.to_thread(self._unmake, container_id)
        self._layers.trash.begin()
        if (measuring := self._measuring.get(container_id)) is not None:
            measuring.cancel()
        self._usage.pop(container_id, None)
        self._unmeasured.discard(container_id)
        await self._layers.collect(chain)

    def _unmake(self, container_id: ContainerId) -> list[Digest]:
        place = self._containers / container_id
        for path in (*self.image_volumes.mounted(container_id), place / "merged"):
            _unmount(path)
        budget = Budget(AT_ONCE)
        try:
            remove_tree(place / "upper", budget)
            remove_tree(place, budget)
        except BudgetSpent:
            self._leave_behind(container_id, place)
        except OSError as error:
            if error.errno == errno.EPERM:
                raise StillHeld(
                    f"{place} cannot be removed, an immutable file holds it: {error.filename}: "
                    "find it with lsattr -R, release it with chattr -i, then ask again"
                ) from error
            if error.errno not in (errno.EXDEV, errno.EBUSY):
                raise
            # Something else was mounted inside, by a plugin or by hand.
            for path in mountpoints_below(place):
                _unmount(path)
            remove_tree(place)
        return self._rows.forget(container_id)

    def _leave_behind(self, container_id: ContainerId, place: Path) -> None:
        """Put what is large where it goes by itself, out of reach of whatever is mounted inside."""
        for path in mountpoints_below(place):
            _unmount(path)
        usage = self._usage.get(container_id)
        size = Size(usage.bytes, usage.inodes) if usage else Size()
        self._layers.trash.keep(self._layers.trash.throw(place), size)

    def known(self) -> set[ContainerId]:
        """The containers that have a root file system."""
        return self._rows.known()

    async def restore(self, unused: Collection[str] = ()) -> dict[Path, OSError]:
        """After a restart or reboot: sweep what has no row; mount what has one and is not mounted, but for
        those that are ``unused``.

        What cannot be removed stays, and is the answer.
        """
        return await asyncio.to_thread(self._restore, frozenset(unused))

    def _restore(self, unused: frozenset[str]) -> dict[Path, OSError]:
        """The mount table, which grows with the containers, is read once for all of them."""
        known = self.known()
        leftovers = self._sweep(known)
        mounted = {entry.mountpoint for entry in mounts()}
        for container_id in sorted(known - unused):
            if self.path(container_id) in mounted or not self._is_whole(container_id):
                continue
            try:
                self._remount(container_id)
            except (OSError, sqlite3.Error, PodwrightError) as error:
                log.warning("rootfs not restored container=%s error=%s", container_id, error)
        return leftovers

    def _is_whole(self, container_id: ContainerId) -> bool:
        """Whether it is neither half made nor half removed: then it waits for its removal, as it is."""
        return (self._containers / container_id / "upper").exists()

    def _sweep(self, known: Collection[str]) -> dict[Path, OSError]:
        if not self._database.may_sweep:
            return {}  # who does not know what is needed removes nothing
        stayed = {}
        found = [place for place in self._containers.iterdir() if place.name not in known]
        table = mounts() if found else []
        for place in found:
            try:
                self._discard(place, table)
                log.info("leftover removed path=%s", place)
            except OSError as error:
                stayed[place] = error
        return stayed

    def discard(self, place: Path) -> None:
        """Unmount and remove a directory that has no row. Blocking."""
        self._discard(place, mounts())

    def _discard(self, place: Path, table: Sequence[Mount]) -> None:
        for path in points_below(place, table):
            _unmount(path)
        remove_tree(place)

    def _remount(self, container_id: ContainerId) -> None:
        # What a volatile mount leaves, so that nobody takes what it has written for complete after a crash.
        # The kernel keeps it in a directory of its own inside the work directory.
        remove_tree(self._containers.joinpath(container_id, "work", "work", "incompat"))
        self._mount(container_id, self._rows.chain(container_id))

    async def usage(self, container_id: ContainerId) -> tuple[int, int]:
        """Bytes and inodes that the container itself wrote, as they were measured last: known at once.

        Ones that are older than ``usage_ttl_s`` are renewed meanwhile, for the next caller. Only who asks
        first waits, for ``usage_patience_s`` at most. The log says once what cannot be measured.

        Raises:
            RootfsNotFound: there is none for this container.
            OSError: it was never measured; a TimeoutError when it only takes longer.
        """
        known = self._usage.get(container_id)
        if known is None:
            try:
                known = await self._measured(container_id)
            except OSError as error:
                self._say_unmeasured(container_id, error)
                raise
        elif time.monotonic() >= known.good_until_s:
            self._begin_measuring(container_id)
        return known.bytes, known.inodes

    def _say_unmeasured(self, container_id: ContainerId, error: OSError) -> None:
        if container_id not in self._unmeasured:
            self._unmeasured.add(container_id)
            log.warning("usage is not known container=%s error=%s", container_id[:12], error)

    async def _measured(self, container_id: ContainerId) -> _Usage:
        """A new measurement; callers that come while there is one share it."""
        measuring = self._begin_measuring(container_id)
        await asyncio.wait({measuring}, timeout=self._usage_patience_s)
        if not measuring.done():
            raise TimeoutError(f"still measuring after {self._usage_patience_s:g} s")
        if measuring.cancelled():
            raise _no_rootfs(container_id)
        return measuring.result()

    def _begin_measuring(self, container_id: ContainerId) -> "asyncio.Future[_Usage]":
        measuring = self._measuring.get(container_id)
        if measuring is None:
            measuring = self._measuring[container_id] = asyncio.ensure_future(self._measure(container_id))
            measuring.add_done_callback(lambda done: self._forget_measuring(container_id, done))
        return measuring

    async def _measure(self, container_id: ContainerId) -> _Usage:
        upper = self._containers / container_id / "upper"
        try:
            size, inodes, took_s = await self._measurers.run(lambda: _timed_usage(upper))
        except FileNotFoundError as error:
            raise _no_rootfs(container_id) from error
        ttl_s = self._usage_ttl_s * max(1.0, took_s / _QUICKLY_MEASURED_S)
        self._usage[container_id] = known = _Usage(size, inodes, time.monotonic() + ttl_s)
        return known

    def _forget_measuring(self, container_id: ContainerId, done: asyncio.Future[_Usage]) -> None:
        del self._measuring[container_id]
        error = None if done.cancelled() else done.exception()  # nobody may have waited until the end
        if isinstance(error, OSError):
            self._say_unmeasured(container_id, error)


def _timed_usage(upper: Path) -> tuple[int, int, float]:
    """Bytes, inodes, and what it took to count them."""
    begun = time.monotonic()
    return *disk_usage(upper), time.monotonic() - begun


def _no_rootfs(container_id: ContainerId) -> RootfsNotFound:
    return RootfsNotFound(f"container {container_id} has no root file system")


def _copy_root_mode(lower: Path, upper: Path) -> None:
    """The root directory shows the upper's owner and mode: they must be those of the image."""
    found = lower.stat()
    os.chown(upper, found.st_uid, found.st_gid)
    upper.chmod(found.st_mode & 0o7777)


def _unmount(path: Path) -> None:
    """Unmount, lazily if somebody still looks at it."""
    try:
        umount_if_mounted(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        umount_if_mounted(path, UMOUNT_NOFOLLOW | MNT_DETACH)
