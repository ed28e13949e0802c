"""The VOLUMEs that an image declares (image-spec config.md), as the option ``image_volumes`` has them.

mkdir    a directory in the container's root file system, made for its user where the image has none
bind     a directory of its own outside of the root file system, empty at first, gone with the container
ignore   nothing
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from cri.containers.record import Container
from cri.node import Node
from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from oci.generate.inputs import BadContainer, Mount


def prepare(
    node: Node,
    container: Container,
    volumes: Sequence[str],
    rootfs: Path,
    user: tuple[int, int] = (0, 0),
) -> tuple[Mount, ...]:
    """Make what the VOLUMEs of a container's image need; the mounts that come of it. Blocking.

    What has to be made belongs to ``user``, the uid and gid of the container's process.

    Raises:
        BadContainer: the image has something else where a directory must be.
    """
    how = node.config.image.image_volumes
    if how == "ignore":
        return ()
    mounts = []
    for number, volume in enumerate(volumes):
        owner = make_directory(rootfs, volume, user)
        if how == "bind":
            source = node.rootfs.image_volumes.directory(container.id, number)
            os.chown(source, owner.st_uid, owner.st_gid)
            source.chmod(owner.st_mode & 0o7777)
            mounts.append(Mount(container_path=volume, host_path=str(source)))
    return tuple(mounts)


def make_directory(rootfs: Path, path: str, user: tuple[int, int] = (0, 0)) -> os.stat_result:
    """Have the directory ``path`` inside ``rootfs``, its parents too, mode 0755; what it is then.

    What is missing is made for ``user``, whose ids count from those of the root directory: with a user
    namespace these are not ours.
    ``rootfs`` is an image's: links are followed as inside of it, and none leads out.

    Raises:
        BadContainer: a part of the path is something else.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for depth in range(1, len(parts) + 1):
            _make_one(root, "/".join(parts[: depth - 1]), parts[depth - 1], user)
        found = _open_directory(root, "/".join(parts))
        try:
            return os.fstat(found)
        finally:
            os.close(found)
    except OSError as error:
        raise BadContainer(
            f"image volume {path!r}: {error.strerror}: the image has something else there"
        ) from error
    finally:
        os.close(root)


def _make_one(root: int, parent: str, name: str, user: tuple[int, int]) -> None:
    try:
        os.close(_open_directory(root, f"{parent}/{name}"))
        return
    except OSError as error:
        if error.errno != errno.ENOENT or name == "..":
            raise
    directory = _open_directory(root, parent)
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            inside = os.fstat(root)
            os.fchown(made, inside.st_uid + user[0], inside.st_gid + user[1])
            os.fchmod(made, 0o755)
        finally:
            os.close(made)
    finally:
        os.close(directory)


def _open_directory(root: int, path: str) -> int:
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    return openat2(root, path.lstrip("/"), os.O_PATH | os.O_DIRECTORY, resolve=resolve)
