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
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWNET = 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522
_INSTRUCTION_BYTES = 8  # struct sock_filter

# asm-generic/unistd.h; x86-64 and arm64 agree.
_SYS_LANDLOCK_CREATE_RULESET = 444
_SYS_LANDLOCK_ADD_RULE = 445
_SYS_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_FIRST_RIGHTS = 0x1FFF  # linux/landlock.h: all of the first version of its interface
_LANDLOCK_ASK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
# Rights that came with later versions, and the first that lets a file be linked into another directory.
_LANDLOCK_RIGHTS_SINCE = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_LANDLOCK_WITH_LINKS = 2
_LANDLOCK_NET_SINCE, _LANDLOCK_NET = 4, 0x3  # bind and connect TCP
_LANDLOCK_SCOPE_SINCE, _LANDLOCK_SCOPE = 6, 0x3  # abstract sockets and signals
LANDLOCK_WRITE_FILE = 1 << 1
LANDLOCK_READ_DIR = 1 << 3
LANDLOCK_REMOVE_DIR = 1 << 4
LANDLOCK_REMOVE_FILE = 1 << 5
LANDLOCK_MAKE_CHAR = 1 << 6
LANDLOCK_MAKE_DIR = 1 << 7
LANDLOCK_MAKE_REG = 1 << 8
LANDLOCK_MAKE_FIFO = 1 << 10
LANDLOCK_MAKE_SYM = 1 << 12
LANDLOCK_REFER = 1 << 13


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
    _capset(0)


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
    _restrict(ruleset)
    return True


def only_below(directory: int, rights: int) -> bool:
    """Have no right in any file system any more but these below an open directory, and as far as the kernel's
    Landlock goes no TCP, no abstract socket and no signal to others; what is open stays usable.

    False, and nothing has changed, where there is no Landlock, or one under which no file can be linked from
    one directory into another (before 5.19). Needs no_new_privileges.
    """
    version = _landlock_version()
    if version < _LANDLOCK_WITH_LINKS:
        return False
    handled = _LANDLOCK_FIRST_RIGHTS
    for since, right in _LANDLOCK_RIGHTS_SINCE.items():
        handled |= right if version >= since else 0
    attributes = struct.pack("=Q", handled)
    if version >= _LANDLOCK_NET_SINCE:
        attributes += struct.pack("=Q", _LANDLOCK_NET)
    if version >= _LANDLOCK_SCOPE_SINCE:
        attributes += struct.pack("=Q", _LANDLOCK_SCOPE)
    size = ctypes.c_size_t(len(attributes))
    ruleset = syscall(
        "landlock_create_ruleset", _SYS_LANDLOCK_CREATE_RULESET, attributes, size, ctypes.c_uint(0)
    )
    rule = struct.pack("=Qi", rights & handled, directory)
    kind = ctypes.c_int(_LANDLOCK_PATH_BENEATH)
    try:
        syscall(
            "landlock_add_rule", _SYS_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint(0)
        )
    except BaseException:
        os.close(ruleset)
        raise
    _restrict(ruleset)
    return True


def _landlock_version() -> int:
    """0 where the kernel has none or has it switched off."""
    ask = ctypes.c_uint(_LANDLOCK_ASK_VERSION)
    try:
        return syscall("landlock_create_ruleset", _SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ask)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def _restrict(ruleset: int) -> None:
    """Take on a set of rules, and close it."""
    try:
        syscall(
            "landlock_restrict_self", _SYS_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)
        )
    finally:
        with contextlib.suppress(OSError):
            os.close(ruleset)


def nothing_but(directory: int) -> None:
    """Have an open directory as the root of all paths; needs CAP_SYS_CHROOT, which is to be dropped then."""
    os.fchdir(directory)
    os.chroot(".")


def keep_capabilities(*numbers: int) -> None:
    """Of what this process has, keep these capabilities (linux/capability.h) and drop the others for good;
    with CAP_SETPCAP also from what programs could gain.

    Raises:
        OSError: EPERM when it has not all of them.
    """
    bits = sum(1 << number for number in numbers)
    with contextlib.suppress(PermissionError):
        drop_bounding_set()
    _capset(bits)


def _capset(bits: int) -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    if libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)) < 0:
        raise_errno("capset")


def permitted_capabilities() -> int:
    """The bits of what this process may have (capget(2))."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data) < 0:
        raise_errno("capget")
    _, low, _, _, high, _ = struct.unpack("=6I", data.raw)
    return int(low | high << 32)


def leave_network() -> None:
    """Be in fresh network and IPC namespaces, where nobody else is; needs CAP_SYS_ADMIN."""
    if libc.unshare(ctypes.c_int(_CLONE_NEWNET | _CLONE_NEWIPC)) < 0:
        raise_errno("unshare")


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
