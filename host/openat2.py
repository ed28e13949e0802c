"""openat2(2), and on top of it paths of which no part may be a symbolic link.

Small on purpose: the monitor imports it (see host/spawn.py).
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct

from host.syscalls import SYS_OPENAT2, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_AT_FDCWD = -100


class LinkOnTheWay(OSError):
    """A part of a path is a symbolic link where none may be followed; ``filename`` names the link."""


def openat2(directory: int, name: bytes | str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open ``name`` below ``directory`` under the ``RESOLVE_*`` rules of openat2(2); adds O_CLOEXEC."""
    encoded = os.fsencode(name) or b"."
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return syscall(
        "openat2",
        SYS_OPENAT2,
        ctypes.c_int(directory),
        encoded,
        how,
        ctypes.c_size_t(len(how)),
        subject=os.fsdecode(encoded),
    )


def open_without_links(path: str, flags: int, mode: int = 0) -> int:
    """Open an absolute path of which no part, the last one neither, is a symbolic link.

    Raises:
        LinkOnTheWay: one is.
        OSError: as open(2).
    """
    try:
        # No O_NOFOLLOW beside it: with O_PATH that would open a link itself.
        return openat2(_AT_FDCWD, path, flags, mode=mode, resolve=RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _naming_the_link(path) from None


def _naming_the_link(path: str) -> LinkOnTheWay:
    """The error for ``path``; who swaps links meanwhile may have us name the whole path."""
    parts = path.strip("/").split("/")
    for count in range(1, len(parts) + 1):
        prefix = "/" + "/".join(parts[:count])
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.lstat(prefix).st_mode):
                return LinkOnTheWay(errno.ELOOP, "a symbolic link, which is not followed", prefix)
    return LinkOnTheWay(errno.ELOOP, "a symbolic link on the way, which is not followed", path)


def make_directories_without_links(path: str, mode: int) -> int:
    """Make what is missing of an absolute path with ``mode``; give the last directory, opened by O_PATH.

    What is there already is left alone, and takes no write to its file system.

    Raises:
        LinkOnTheWay: a part of it is a symbolic link.
        OSError: as mkdir(2) and open(2).
    """
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        return open_without_links(path, flags)
    except FileNotFoundError:
        parent, name = os.path.split(path.rstrip("/"))
        if not name:
            raise
    above = make_directories_without_links(parent, mode)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=above)
            _set_mode(above, name, mode)
    finally:
        os.close(above)
    return open_without_links(path, flags)


def _set_mode(directory: int, name: str, mode: int) -> None:
    """What mkdir(2) under a umask may not have set."""
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fchmod(made, mode)
    finally:
        os.close(made)
