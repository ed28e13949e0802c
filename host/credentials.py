"""What a process may do, given up for itself (capabilities(7), credentials(7), seccomp(2)); one thread only.

Small on purpose: the monitor imports it.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from host.syscalls import libc, numbered, raise_errno

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64
_SECCOMP_SET_MODE_FILTER = 1


def _prctl(option: int, *values: int) -> None:
    words = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(ctypes.c_int(option), *words) < 0:
        raise_errno(f"prctl {option}")


def no_new_privileges() -> None:
    """Nothing that is executed from now on gains privileges."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_capabilities(*, yes: bool) -> None:
    """Whether the permitted set outlives the next change to another user."""
    _prctl(_PR_SET_KEEPCAPS, int(yes))


def limit_bounding_set(bits: int) -> None:
    """Drop every capability that the kernel knows and ``bits`` has not."""
    for number in range(_CAPABILITIES):
        if bits >> number & 1:
            continue
        try:
            _prctl(_PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:  # the first that this kernel does not know
                return
            raise


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) for this process."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low = [bits & 0xFFFFFFFF for bits in (effective, permitted, inheritable)]
    high = [bits >> 32 for bits in (effective, permitted, inheritable)]
    numbered("capset", header, struct.pack("=6I", *low, *high))


def set_ambient(bits: int) -> None:
    """Have exactly these ambient capabilities, as far as they are permitted and inheritable too."""
    try:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return
    for number in range(_CAPABILITIES):
        if bits >> number & 1:
            try:
                _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise


def become(uid: int, gid: int) -> None:
    """All three user and group ids; ids that the user namespace lacks are EINVAL."""
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def load_filter(program: bytes, flags: int) -> int:
    """seccomp(2) with a compiled filter; the listener's descriptor if ``flags`` ask for one, else 0."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(code))
    return numbered("seccomp", ctypes.c_uint(_SECCOMP_SET_MODE_FILTER), ctypes.c_uint(flags), header)


def execute(path: str, arguments: Sequence[str], environment: Sequence[str]) -> None:
    """execve(2) with the environment in its order; returns only by an OSError."""
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*map(os.fsencode, arguments), None)
    envp = (ctypes.c_char_p * (len(environment) + 1))(*map(os.fsencode, environment), None)
    libc.execve(os.fsencode(path), argv, envp)
    raise_errno("exec", path)
