"""Processes made by clone3(2), and namespaces of the calling process (clone(2), setns(2), unshare(2)).

For programs with one thread only: a fork beside others' threads hangs (docs/adr/0003). Small on purpose: the
monitor imports it.
"""

import ctypes
import errno
import os
import struct
from typing import Final

from host.syscalls import SYS_CLONE3, libc, raise_errno

CLONE_NEWTIME: Final = 0x80
CLONE_NEWNS: Final = 0x20000
CLONE_NEWCGROUP: Final = 0x2000000
CLONE_NEWUTS: Final = 0x4000000
CLONE_NEWIPC: Final = 0x8000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
_CLONE_PIDFD = 0x1000
_CLONE_PARENT = 0x8000
_CLONE_INTO_CGROUP = 0x200000000
_SIGCHLD = 17
_ARGUMENTS = struct.Struct("=11Q")  # struct clone_args
# A handle that keeps the lock of the interpreter, as a child must own it.
_python = ctypes.PyDLL(None, use_errno=True)


def fork(flags: int = 0, *, cgroup: int | None = None, sibling: bool = False) -> tuple[int, int]:
    """Fork into new namespaces (``flags``, CLONE_NEW…); the child's pid and a pidfd, or (0, -1) in the child.

    ``cgroup`` is a descriptor of the cgroup v2 directory in which it is born. A ``sibling`` is a child of our
    parent, who waits for it.
    """
    pidfd = ctypes.c_int(-1)
    wanted = flags | _CLONE_PIDFD
    wanted |= _CLONE_PARENT if sibling else 0
    wanted |= _CLONE_INTO_CGROUP if cgroup is not None else 0
    signal = 0 if sibling else _SIGCHLD
    packed = _ARGUMENTS.pack(wanted, ctypes.addressof(pidfd), 0, 0, signal, 0, 0, 0, 0, 0, cgroup or 0)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_python.syscall(ctypes.c_long(SYS_CLONE3), packed, ctypes.c_size_t(len(packed))))
    number = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """unshare(2)."""
    if libc.unshare(ctypes.c_int(flags)) < 0:
        raise_errno("unshare")


def join(descriptor: int, kind: int) -> None:
    """setns(2) into a namespace of the ``kind`` (CLONE_NEW…), for this process or, pid, for its children."""
    if libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)) < 0:
        raise_errno("setns")


def is_refused(error: OSError) -> bool:
    """Whether the kernel, or a filter on us, has no such call or flag."""
    return error.errno in (errno.ENOSYS, errno.EINVAL, errno.E2BIG, errno.EOPNOTSUPP)
