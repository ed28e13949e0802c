"""A /proc of our own that nobody can have put something over (docs/adr/0024, CVE-2019-16884 and its kin).

``open_handle`` mounts a new procfs on no path at all; files in it are opened below its descriptor, by names
of which no part may be a link or another mount. Small on purpose: the monitor imports it.
"""

import ctypes
import os

from host.mounts import closing_descriptor, open_tree
from host.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, openat2
from host.syscalls import libc, raise_errno
from host.trees import new_filesystem

PROC_SUPER_MAGIC = 0x9FA0
_ROOT_INODE = 1
_ATTRIBUTES = 0x2 | 0x4 | 0x8  # nosuid, nodev, noexec
_STRICT = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS


class NotProcfs(OSError):
    """What lies at /proc is something else."""


def open_handle(*, only_processes: bool = True) -> int:
    """A descriptor of a private procfs of our PID namespace; ``only_processes`` leaves out /proc/sys and all
    that is no process.

    Without the privilege to mount one it is a copy of /proc's mount without what lies on top of it.
    """
    options = ("hidepid=ptraceable", "subset=pid") if only_processes else ()
    try:
        return new_filesystem("proc", "proc", options, _ATTRIBUTES)
    except OSError:
        return _copy_of_proc()


def _copy_of_proc() -> int:
    try:
        handle = open_tree("/proc", clone=True)
    except OSError:
        handle = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if os.fstat(handle).st_ino != _ROOT_INODE or filesystem_type(handle) != PROC_SUPER_MAGIC:
        os.close(handle)
        raise NotProcfs(1, "it is not a procfs", "/proc")
    return handle


def filesystem_type(descriptor: int) -> int:
    """``f_type`` of fstatfs(2): the magic number of the file system that ``descriptor`` lies on."""
    buffer = bytearray(256)
    if libc.fstatfs(descriptor, (ctypes.c_char * len(buffer)).from_buffer(buffer)) < 0:
        raise_errno("fstatfs")
    return int.from_bytes(buffer[:8], "little")


def open_in(handle: int, name: str, flags: int) -> int:
    """Open a file below the handle (``self/attr/exec``); no part of ``name`` beyond ``self`` is a link."""
    if name.startswith("self/"):
        name = f"{own_pid(handle)}/{name.removeprefix('self/')}"
    return openat2(handle, name, flags, resolve=_STRICT)


def own_pid(handle: int) -> int:
    """Our process id as the handle's PID namespace counts it."""
    return int(os.readlink("self", dir_fd=handle))


def pid_of(handle: int, pidfd: int) -> int:
    """The process that a pidfd refers to, as the handle's PID namespace counts it."""
    lines = read_in(handle, f"self/fdinfo/{pidfd}").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(b"Pid:"))


def write_in(handle: int, name: str, text: str) -> None:
    """Write ``text`` to a file below the handle, in one write."""
    with closing_descriptor(open_in(handle, name, os.O_WRONLY)) as descriptor:
        os.write(descriptor, text.encode())


def read_in(handle: int, name: str, limit: int = 65536) -> bytes:
    """The first ``limit`` bytes of a file below the handle."""
    with closing_descriptor(open_in(handle, name, os.O_RDONLY)) as descriptor:
        return os.read(descriptor, limit)
