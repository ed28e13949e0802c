"""Mounts that are complete before anybody sees them, attached to places that a descriptor names (fsopen(2),
open_tree(2), move_mount(2)): no path is looked up twice, so none can be swapped in between.

Small on purpose: the monitor imports it.
"""

import ctypes
import os
from collections.abc import Iterable

from host.mounts import (
    closing_descriptor,
    fsconfig_create,
    fsconfig_set,
    fsmount,
    fsopen,
    mount_setattr,
    open_tree,
)
from host.syscalls import SYS_MOVE_MOUNT, libc, numbered, raise_errno, syscall

MOUNT_ATTR_ATIME = 0x70  # the field; relatime is 0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80

_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_REASON_LIMIT = 4096


def new_filesystem(fstype: str, source: str, options: Iterable[str], attributes: int = 0) -> int:
    """A detached mount of a new instance of ``fstype``; an option is a flag, or ``key=value``.

    Raises:
        OSError: with the kernel's own reason where it gives one.
    """
    with closing_descriptor(fsopen(fstype)) as context:
        try:
            if source:
                fsconfig_set(context, "source", source)
            for option in options:
                key, equals, value = option.partition("=")
                fsconfig_set(context, key, value if equals else None)
            fsconfig_create(context)
            return fsmount(context, attributes)
        except OSError as error:
            raise OSError(error.errno, _reason(context) or error.strerror, error.filename) from error


def _reason(context: int) -> str:
    """What the kernel wrote about the failure, without its ``e `` in front (fsopen(2), message retrieval)."""
    try:
        return os.read(context, _REASON_LIMIT).decode(errors="replace").strip()[2:]
    except OSError:
        return ""


def clone_of(descriptor: int, *, recursive: bool) -> int:
    """A detached copy of the mount that ``descriptor`` lies on, from there down."""
    return open_tree("", clone=True, recursive=recursive, directory=descriptor)


def attach(tree: int, place: int) -> None:
    """Attach a detached mount over the file or directory that ``place`` refers to."""
    syscall(
        "move_mount",
        SYS_MOVE_MOUNT,
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(place),
        b"",
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH),
    )


def set_attributes(tree: int, wanted: int, unwanted: int, *, recursive: bool = False) -> None:
    """Set and clear MOUNT_ATTR_ bits of the mount ``tree``; a time policy replaces the one before."""
    if wanted & MOUNT_ATTR_ATIME or unwanted & MOUNT_ATTR_ATIME:
        unwanted |= MOUNT_ATTR_ATIME
    if wanted or unwanted:
        mount_setattr(tree, attributes_set=wanted, attributes_clear=unwanted, recursive=recursive)


def pivot_root_here() -> None:
    """Make the working directory, a mount point, the root; the old root lies on top of it afterwards."""
    numbered("pivot_root", b".", b".")


def change_root_here() -> None:
    """chroot(2) to the working directory."""
    if libc.chroot(b".") < 0:
        raise_errno("chroot")
