"""Giving up what a process may do, for good: identity, capabilities, new privileges, files, system calls.

    become(uid, gid) ──▶ drop_capabilities() ──▶ no_new_privileges() ──▶ hide_from_peers() ──▶ no_files()
                     ──▶ load_filter(program)           each is one-way

No step undoes another's, and each says by OSError what the kernel refused.
"""

import contextlib
import ctypes
import errno
import os
import struct

from host.spawn import PR_SET_DUMPABLE, prctl
from host.syscalls import libc, raise_errno, syscall

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_INSTRUCTION_BYTES = 8  # struct sock_filter

# asm-generic/unistd.h; x86-64 and arm64 agree.
_SYS_LANDLOCK_CREATE_RULESET = 444
_SYS_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_FIRST_RIGHTS = 0x1FFF  # linux/landlock.h: all of the first version of its interface


def become(uid: int, gid: int) -> None:
    """Be this user and group and no other, in all of real, effective and saved; needs root."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def drop_bounding_set() -> None:
    """No program that is executed from here on can gain a capability; needs CAP_SETPCAP."""
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last one of this kernel
                return
            raise


def drop_capabilities() -> None:
    """Empty the permitted, effective and inheritable sets, and with them the ambient one (capset(2))."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if libc.capset(header, bytes(24)) < 0:
        raise_errno("capset")


def no_new_privileges() -> None:
    """Neither setuid bits nor file capabilities count from here on, also for children."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def hide_from_peers() -> None:
    """No core file, no ptrace and no /proc/<pid>/mem for others of the same user."""
    prctl(PR_SET_DUMPABLE, 0)


def end_with_parent(signal_number: int) -> None:
    """Get this signal when the thread that started us ends; to be called after the change of identity."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def no_files() -> bool:
    """Open and change no file of any file system any more (landlock(7)); what is open stays usable.

    False where the kernel has no Landlock or has it switched off. What has no place in a file system, as a
    memfd, can still be opened by way of /proc/self/fd. Needs no_new_privileges.
    """
    attributes = struct.pack("=Q", _LANDLOCK_FIRST_RIGHTS)
    try:
        ruleset = syscall(
            "landlock_create_ruleset",
            _SYS_LANDLOCK_CREATE_RULESET,
            attributes,
            ctypes.c_size_t(len(attributes)),
            ctypes.c_uint(0),
        )
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return False
        raise
    try:
        syscall(
            "landlock_restrict_self", _SYS_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)
        )
    finally:
        with contextlib.suppress(OSError):
            os.close(ruleset)
    return True


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load_filter(program: bytes) -> None:
    """Hold this process to a compiled seccomp filter (host.libseccomp); needs no_new_privileges."""
    instructions = _Program(len(program) // _INSTRUCTION_BYTES, program)
    zero = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    if libc.prctl(ctypes.c_int(PR_SET_SECCOMP), mode, ctypes.byref(instructions), zero, zero) < 0:
        raise_errno("seccomp filter")
