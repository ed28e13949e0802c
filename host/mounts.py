"""Mounts: mount(2) and umount2(2), the descriptor based mount API (Linux 5.2+), and mountinfo.

One thin function per system call at the top; below them what the rest of Podwright asks for. A mount
that is built on a descriptor and moved into place is never visible half configured.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.lines import lines, read_table
from host.syscalls import (
    SYS_FSCONFIG,
    SYS_FSMOUNT,
    SYS_FSOPEN,
    SYS_MOUNT_SETATTR,
    SYS_MOVE_MOUNT,
    SYS_OPEN_TREE,
    libc,
    raise_errno,
    syscall,
)

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000

MNT_FORCE = 1
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MOUNT_ATTR_IDMAP = 0x100000

_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_MOUNTINFO = Path("/proc/self/mountinfo")

StrPath = os.PathLike[str] | str


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: ``options`` are those of the mount, ``super_options`` of the filesystem."""

    mount_id: int
    parent_id: int
    root: str
    mountpoint: Path
    options: tuple[str, ...]
    propagation: tuple[str, ...]  # "shared:N", "master:N", … ; empty means private
    fstype: str
    source: str
    super_options: tuple[str, ...]


def mount(
    source: StrPath | None, target: StrPath, fstype: str | None, flags: int, data: str | None = None
) -> None:
    """mount(2)."""
    result = libc.mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if fstype is None else fstype.encode(),
        ctypes.c_ulong(flags),
        None if data is None else os.fsencode(data),
    )
    if result < 0:
        raise_errno("mount", target)


def umount(path: StrPath, flags: int = 0) -> None:
    """umount2(2); EINVAL when nothing is mounted there, ENOENT when the path is not there."""
    if libc.umount2(os.fsencode(path), flags) < 0:
        raise_errno("umount2", path)


def open_tree(
    path: StrPath, *, clone: bool = True, recursive: bool = False, directory: int = AT_FDCWD
) -> int:
    """A descriptor of the mount at ``path`` ("": of ``directory``); with ``clone`` of a detached copy."""
    flags = os.O_CLOEXEC | (OPEN_TREE_CLONE if clone else 0) | (AT_RECURSIVE if recursive else 0)
    if not os.fspath(path):
        flags |= AT_EMPTY_PATH
    return syscall(
        "open_tree",
        SYS_OPEN_TREE,
        ctypes.c_int(directory),
        os.fsencode(path),
        ctypes.c_uint(flags),
        subject=path,
    )


def move_mount(descriptor: int, target: StrPath, *, directory: int = AT_FDCWD) -> None:
    """Attach the detached mount ``descriptor`` at ``target``."""
    syscall(
        "move_mount",
        SYS_MOVE_MOUNT,
        ctypes.c_int(descriptor),
        b"",
        ctypes.c_int(directory),
        os.fsencode(target),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
        subject=target,
    )


def mount_setattr(
    descriptor: int,
    *,
    attributes_set: int = 0,
    attributes_clear: int = 0,
    propagation: int = 0,
    userns: int = 0,
    recursive: bool = False,
) -> None:
    """mount_setattr(2) on the mount ``descriptor``; ``recursive`` covers every mount below it."""
    attributes = struct.pack("=QQQQ", attributes_set, attributes_clear, propagation, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall(
        "mount_setattr",
        SYS_MOUNT_SETATTR,
        ctypes.c_int(descriptor),
        b"",
        ctypes.c_uint(flags),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )


def fsopen(fstype: str) -> int:
    """A configuration context for a new filesystem of ``fstype``."""
    return syscall("fsopen", SYS_FSOPEN, fstype.encode(), ctypes.c_uint(_FSOPEN_CLOEXEC), subject=fstype)


def fsconfig_set(context: int, key: str, value: StrPath | None = None) -> None:
    """Set one option of a context: a string, or a flag without ``value``."""
    command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
    encoded = None if value is None else os.fsencode(value)
    arguments = (ctypes.c_int(context), ctypes.c_uint(command), key.encode(), encoded, ctypes.c_int(0))
    syscall(
        "fsconfig", SYS_FSCONFIG, *arguments, subject=f"{key}={'' if value is None else os.fspath(value)}"
    )


def fsconfig_create(context: int) -> None:
    """Create the superblock that the context describes."""
    arguments = (ctypes.c_int(context), ctypes.c_uint(_FSCONFIG_CMD_CREATE), None, None, ctypes.c_int(0))
    syscall("fsconfig", SYS_FSCONFIG, *arguments, subject="create")


def fsmount(context: int, attributes: int = 0) -> int:
    """A detached mount of the created superblock."""
    return syscall(
        "fsmount",
        SYS_FSMOUNT,
        ctypes.c_int(context),
        ctypes.c_uint(_FSMOUNT_CLOEXEC),
        ctypes.c_uint(attributes),
    )


def bind(source: StrPath, target: StrPath, *, readonly: bool = False, recursive: bool = True) -> None:
    """Bind ``source`` on ``target``; ``readonly`` covers the top mount only (see ``mount_setattr`` for all).

    Flags that the source mount carries (nosuid, nodev …) stay, as a remount would lose them.
    """
    with closing_descriptor(open_tree(source, clone=True, recursive=recursive)) as tree:
        if readonly:
            mount_setattr(tree, attributes_set=MOUNT_ATTR_RDONLY)
        move_mount(tree, target)


def mount_tmpfs(target: StrPath, options: str = "", flags: int = MS_NOSUID | MS_NODEV) -> None:
    """A new tmpfs at ``target``; ``options`` as ``mode=1777,size=65536k``."""
    mount("tmpfs", target, "tmpfs", flags, options or None)


def make_shared(path: StrPath, *, recursive: bool = False) -> None:
    """Mounts made below ``path`` from now on show in its peers, and theirs here."""
    mount(None, path, None, MS_SHARED | (MS_REC if recursive else 0))


def make_private(path: StrPath, *, recursive: bool = False) -> None:
    """No mount events in or out."""
    mount(None, path, None, MS_PRIVATE | (MS_REC if recursive else 0))


def make_slave(path: StrPath, *, recursive: bool = False) -> None:
    """Mount events come in and do not go out."""
    mount(None, path, None, MS_SLAVE | (MS_REC if recursive else 0))


def umount_if_mounted(path: StrPath, flags: int = UMOUNT_NOFOLLOW) -> bool:
    """Unmount what is on ``path``; False when nothing was, or the path is not there."""
    try:
        umount(path, flags)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise
    return True


@contextlib.contextmanager
def closing_descriptor(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end of the block."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts of a mountinfo text, in its order (a later one lies over an earlier on the same path)."""
    return [_parse_line(line) for line in lines(text)]


class MountTable:
    """A mountinfo text, of which only what is asked for is taken apart: each line costs 20 us."""

    def __init__(self, text: str) -> None:
        self._lines = {int(line.partition(" ")[0]): line for line in lines(text)}

    def __contains__(self, mount_id: int) -> bool:
        return mount_id in self._lines

    def find(self, mount_id: int) -> Mount | None:
        """The mount with this number."""
        line = self._lines.get(mount_id)
        return None if line is None else _parse_line(line)

    def below(self, directory: str, but: Collection[str] = ()) -> Iterator[Mount]:
        """The mounts inside ``directory``, not on it; it has no trailing slash and nothing to be escaped.

        Those on a path of ``but`` may be left out.
        """
        for line in self._lines.values():
            point = line.split(" ", 5)[4]
            if point.startswith(f"{directory}/") and point not in but:
                yield _parse_line(line)


def _parse_line(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    mount_id, parent_id, _, root, mountpoint, options, *propagation = before.split(" ")
    fstype, source, super_options = after.split(" ", 2)
    return Mount(
        mount_id=int(mount_id),
        parent_id=int(parent_id),
        root=_unescape(root),
        mountpoint=Path(_unescape(mountpoint)),
        options=tuple(options.split(",")),
        propagation=tuple(tag for tag in propagation if tag),
        fstype=fstype,
        source=_unescape(source),
        super_options=tuple(super_options.split(",")),
    )


def _unescape(text: str) -> str:
    """Undo the octal escapes of blanks, tabs, newlines and backslashes."""
    if "\\" not in text:
        return text
    for code, character in (
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\043", "#"),
        ("\\134", "\\"),
    ):
        text = text.replace(code, character)
    return text


def mounts() -> list[Mount]:
    """The mounts of the calling process's namespace."""
    return parse_mountinfo(read_table(_MOUNTINFO))


def mounts_of(pid: int) -> MountTable:
    """The mounts of the namespace of process ``pid``.

    Raises:
        ProcessLookupError: it has ended; it may not have been reaped.
    """
    try:
        text = read_table(f"/proc/{pid}/mountinfo")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EINVAL):  # EINVAL: a zombie has no namespace
            raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended") from None
        raise
    return MountTable(text)


def mountpoints_below(prefix: Path) -> list[Path]:
    """Mount points at or below ``prefix``, deepest and latest first: the order in which to unmount them."""
    return points_below(prefix, mounts())


def points_below(prefix: Path, table: Sequence[Mount]) -> list[Path]:
    """As :func:`mountpoints_below`, of a mount table that was read before: for who asks it for many."""
    return [entry.mountpoint for entry in reversed(table) if entry.mountpoint.is_relative_to(prefix)]


def is_mountpoint(path: Path) -> bool:
    """True when something is mounted exactly on ``path``, which is absolute and free of symbolic links."""
    return any(entry.mountpoint == path for entry in mounts())
