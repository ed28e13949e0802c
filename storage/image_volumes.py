"""Image volumes: the root of an image, read-only, for a container beside its own root file system.

    <root>/containers/<id>/volumes/<number>   the mount: an overlay of the image's layers, none writable
    <root>/containers/<id>/data/<number>      beside them: what the container writes to a VOLUME of its image

The layers are entered with the container's own, so they stay while it does and go with it, after a crash
too: ``RootfsManager.remove`` takes the mounts away with the rest.
"""

import os
import stat
from pathlib import Path

from api.errors import InvalidArgument
from api.ids import ContainerId
from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from host.mounts import MOUNT_ATTR_RDONLY, MS_NODEV, MS_NOSUID, bind
from host.overlayfs import overlay
from storage.catalogue import Image, LayersVanished
from storage.lower import LowerDirectories
from storage.rebuild import Mender
from storage.rootfs_rows import ImageNotFound, RootfsRows


class ImageGone(InvalidArgument):
    """The image of a volume was removed meanwhile."""


class BadSubPath(InvalidArgument):
    """The image has no such file or directory."""


class ImageVolumes:
    """Mounts images below the directories that RootfsManager makes for containers."""

    def __init__(self, rows: RootfsRows, lower: LowerDirectories, mender: Mender) -> None:
        self._rows = rows
        self._lower = lower
        self._mender = mender

    def path(self, container_id: ContainerId, number: int) -> Path:
        """Where volume ``number`` of a container is mounted, or would be."""
        return self._rows.place(container_id) / "volumes" / str(number)

    def mount(self, container_id: ContainerId, number: int, image: Image) -> Path:
        """Mount ``image`` as volume ``number`` of a container whose root file system is prepared. Blocking.

        Raises:
            ImageGone: the image was removed meanwhile.
            OSError: the kernel refuses the mount; removing the root file system takes the rest away.
        """
        try:
            self._rows.enter_volume(container_id, number, image)
        except ImageNotFound as error:
            raise ImageGone(str(error)) from error
        target = self.path(container_id, number)
        target.mkdir(mode=0o700, parents=True)
        if not image.layers:
            bind(self._lower.empty, target, readonly=True)
            return target
        try:
            # Without a writable layer overlayfs wants two.
            with self._lower.seen_from(self._rows.place(container_id), image.layers, least=2) as lower:
                overlay(lower, None, None, target, attributes=MOUNT_ATTR_RDONLY | MS_NOSUID | MS_NODEV)
        except LayersVanished:
            self._mender.drop_incomplete()
            raise
        return target

    def directory(self, container_id: ContainerId, number: int) -> Path:
        """A fresh directory of the container's, outside its root file system, for a VOLUME of its image."""
        path = self._rows.place(container_id) / "data" / str(number)
        path.mkdir(mode=0o700, parents=True)
        return path

    def mounted(self, container_id: ContainerId) -> list[Path]:
        """The places of a container's volumes, mounted or not."""
        try:
            return list((self._rows.place(container_id) / "volumes").iterdir())
        except FileNotFoundError:
            return []


def resolve(volume: Path, sub_path: str) -> Path:
    """The file or directory ``sub_path`` of a mounted volume, as a path without links. Blocking.

    The image's links are followed as a process with the volume as its root would follow them, so none leads
    out; since nobody can write to the volume, what was found stays where it is.

    Raises:
        BadSubPath: it is absolute, climbs, is not there, or is neither a file nor a directory.
    """
    if not sub_path:
        return volume
    if sub_path.startswith("/") or ".." in sub_path.split("/") or "\0" in sub_path:
        raise BadSubPath(f"sub-path {sub_path!r} must be relative and without '..'")
    top = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = openat2(top, sub_path, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        raise BadSubPath(f"sub-path {sub_path!r}: {error.strerror}") from error
    finally:
        os.close(top)
    try:
        mode = os.fstat(found).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise BadSubPath(f"sub-path {sub_path!r} is neither a directory nor a file")
        return Path(f"/proc/self/fd/{found}").readlink()
    finally:
        os.close(found)
