"""Session keyrings (session-keyring(7)): no namespace has them, a process has its parent's until it leaves.

Small on purpose: the monitor imports it.
"""

import ctypes
import errno
import os

from host.syscalls import syscall

_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
# A kernel without keyrings; a filter that keeps us, and so what we start, from them.
_NONE = (errno.ENOSYS, errno.EPERM, errno.EACCES)


def leave_session_keyring() -> None:
    """Give the calling thread a session keyring of its own, empty: what it starts from now on has that one.

    Raises:
        OSError: too many keys, or no memory.
    """
    number = _SYS_KEYCTL.get(os.uname().machine)
    if number is None:
        return
    arguments = (ctypes.c_ulong(_JOIN_SESSION_KEYRING), *[ctypes.c_ulong(0)] * 4)
    try:
        syscall("keyctl", number, *arguments)
    except OSError as error:
        if error.errno not in _NONE:
            raise
