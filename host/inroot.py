"""Paths inside a foreign root directory, by descriptors (openat2(2), RESOLVE_IN_ROOT): a link leads where it
would lead in there, and what is found is used by its descriptor, never by its name again.

Small on purpose: the monitor imports it.
"""

import errno
import os
import stat
import time

from host.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_TRIES = 128  # the kernel gives up a lookup with ".." while others rename
_LINKS = 40


def open_inside(root: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open ``path`` as a process whose root is ``root`` would; never through a link of procfs.

    Raises:
        OSError: as open(2).
    """
    for left in range(_TRIES, -1, -1):
        try:
            return openat2(root, path.lstrip("/") or ".", flags, mode=mode, resolve=_INSIDE)
        except OSError as error:
            if error.errno != errno.EAGAIN or not left:
                raise OSError(error.errno, error.strerror, path) from None
            time.sleep(0.002)
    raise AssertionError("unreachable")


def make_directories(root: int, path: str, mode: int = 0o755) -> int:
    """The directory ``path`` inside ``root``, by O_PATH; what is missing of it is made.

    A link that leads to nothing is followed as far as it goes, inside, and its target made.
    """
    here = os.dup(root)
    try:
        done, links = "", 0
        parts = _parts(path)
        while parts:
            name = parts.pop(0)
            target = _next(root, here, done, name, mode)
            if isinstance(target, int):
                os.close(here)
                here, done = target, os.path.normpath(f"/{done}/{name}").strip("/")
                continue
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            base = "" if target.startswith("/") else done
            parts = _parts(os.path.normpath(f"/{base}/{target}")) + parts
            os.close(here)
            here, done = os.dup(root), ""
        return here
    except BaseException:
        os.close(here)
        raise


def _parts(path: str) -> list[str]:
    return [part for part in os.path.normpath("/" + path).split("/") if part]


def _next(root: int, here: int, done: str, name: str, mode: int) -> int | str:
    """The directory ``name`` in ``here``, made if it is missing; the text of a link that leads nowhere."""
    try:
        return open_inside(root, f"{done}/{name}", os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    try:
        os.mkdir(name, mode, dir_fd=here)
        return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    except FileExistsError:
        return os.readlink(name, dir_fd=here)


def make_file(root: int, path: str, mode: int = 0o644) -> int:
    """The file ``path`` inside ``root``, by O_PATH; it and the directories above it are made if missing."""
    directory, _, name = path.rstrip("/").rpartition("/")
    parent = make_directories(root, directory)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(name, flags, mode, dir_fd=parent))
        except FileExistsError:
            return _behind_link(root, parent, directory, name, mode)
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    finally:
        os.close(parent)


def _behind_link(root: int, parent: int, directory: str, name: str, mode: int) -> int:
    """What the entry that is there leads to; a link that leads nowhere gets its file."""
    try:
        return open_inside(root, f"{directory}/{name}")
    except FileNotFoundError:
        target = os.readlink(name, dir_fd=parent)
    path = target if target.startswith("/") else f"{directory}/{target}"
    return make_file(root, os.path.normpath("/" + path), mode)


def find_or_make(root: int, path: str, *, directory: bool) -> int:
    """The place for a mount at ``path``: what is there, or a new directory or empty file."""
    try:
        return open_inside(root, path)
    except FileNotFoundError:
        return make_directories(root, path) if directory else make_file(root, path)


def is_directory(descriptor: int) -> bool:
    """Whether it refers to a directory."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def read_bounded(root: int, path: str, limit: int) -> bytes:
    """At most ``limit`` bytes of a plain file inside ``root``; b"" when there is none."""
    try:
        descriptor = open_inside(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        return os.read(descriptor, limit)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
