"""The VOLUMEs that an image declares (image-spec config.md), as the option ``image_volumes`` has them.

mkdir    a directory in the container's root file system, made for its user where the image has none
bind     a directory of its own outside of the root file system, empty at first, gone with the container
ignore   nothing

An image is a stranger's: what it may have made is bounded, links in it are followed as inside its root and
lead nowhere else, each directory is entered by its parent's descriptor, never again by its path, and the
work ends when nobody wants the container any more.
"""

import errno
import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from api.errors import FailedPrecondition
from cri.containers.record import Container
from cri.node import Node
from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from oci.generate.inputs import BadContainer, Mount

# Of one image; directories are counted with those above them, whether they are there or not.
VOLUMES_LIMIT = 1_000
DIRECTORIES_LIMIT = 4_096
_PATH_LIMIT = 4095  # bytes, PATH_MAX without the NUL


class Abandoned(FailedPrecondition):
    """The container was removed, or its sandbox stopped, while it was being created."""


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
        BadContainer: a path is none, there are too many, or the image has something else in its place.
        Abandoned: see there.
    """
    how = node.config.image.image_volumes
    if how == "ignore" or not volumes:
        return ()
    wanted = [(volume, parts_of(volume)) for volume in volumes]
    check_bounds([parts for _, parts in wanted])
    mounts = []
    with _root_of(rootfs) as root:
        for number, (volume, parts) in enumerate(wanted):
            if container.abandoned:
                raise Abandoned(f"container {container.id[:12]} is not wanted any more")
            owner = _made(root, volume, parts, user)
            if how == "bind":
                source = node.rootfs.image_volumes.directory(container.id, number)
                os.chown(source, owner.st_uid, owner.st_gid)
                source.chmod(owner.st_mode & 0o7777)
                mounts.append(Mount(container_path=volume, host_path=str(source)))
    return tuple(mounts)


def parts_of(volume: str) -> list[str]:
    """The directories on the way to a volume, itself the last; ".." is resolved by the text, as for mounts.

    Raises:
        BadContainer: it is no path.
    """
    path = posixpath.normpath("/" + volume.lstrip("/"))
    try:
        fits = len(path.encode()) <= _PATH_LIMIT and "\0" not in path
    except UnicodeEncodeError:
        fits = False
    if not fits:
        shown = volume if len(volume) <= 100 else volume[:100] + "…"
        raise BadContainer(f"image volume {shown!r} is not a path of at most {_PATH_LIMIT} bytes")
    return [part for part in path.split("/") if part]


def check_bounds(volumes: Sequence[Sequence[str]]) -> None:
    """
    Raises:
        BadContainer: there are more than one image may have.
    """
    if len(volumes) > VOLUMES_LIMIT:
        raise BadContainer(f"image volumes: {len(volumes)}, more than the {VOLUMES_LIMIT} that are made")
    directories = sum(map(len, volumes))
    if directories > DIRECTORIES_LIMIT:
        raise BadContainer(
            f"image volumes: {directories} directories, more than the {DIRECTORIES_LIMIT} that are made"
        )


def make_directory(rootfs: Path, path: str, user: tuple[int, int] = (0, 0)) -> os.stat_result:
    """Have the directory ``path`` inside ``rootfs``, its parents too, mode 0755; what it is then.

    What is missing is made for ``user``, whose ids count from those of the root directory: with a user
    namespace these are not ours.

    Raises:
        BadContainer: a part of the path is something else.
    """
    with _root_of(rootfs) as root:
        return _made(root, path, parts_of(path), user)


@contextmanager
def _root_of(rootfs: Path) -> Iterator[int]:
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def _made(root: int, path: str, parts: Sequence[str], user: tuple[int, int]) -> os.stat_result:
    try:
        depth, directory = _deepest(root, parts)
        try:
            inside = os.fstat(root)
            for name in parts[depth:]:
                os.mkdir(name, 0o755, dir_fd=directory)
                below = os.open(
                    name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
                )
                os.close(directory)
                directory = below
                os.fchown(directory, inside.st_uid + user[0], inside.st_gid + user[1])
                os.fchmod(directory, 0o755)  # the umask must not decide who may enter it
            return os.fstat(directory)
        finally:
            os.close(directory)
    except OSError as error:
        shown = path if len(path) <= 100 else path[:100] + "…"
        raise BadContainer(
            f"image volume {shown!r}: {error.strerror}: the image has something else there"
        ) from error


def _deepest(root: int, parts: Sequence[str]) -> tuple[int, int]:
    """How many of ``parts`` are directories already, and a descriptor of the last of them; by halving, since
    each look costs the whole way from the root."""
    found = _open_directory(root, parts)
    if found is not None:
        return len(parts), found
    there, missing = 0, len(parts)
    while missing - there > 1:
        middle = (there + missing) // 2
        found = _open_directory(root, parts[:middle])
        if found is None:
            missing = middle
        else:
            os.close(found)
            there = middle
    found = _open_directory(root, parts[:there])
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return there, found


def _open_directory(root: int, parts: Sequence[str]) -> int | None:
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    try:
        return openat2(root, "/".join(parts), os.O_PATH | os.O_DIRECTORY, resolve=resolve)
    except FileNotFoundError:
        return None
