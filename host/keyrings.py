"""Session keyrings (session-keyring(7)): no namespace has them, a process has its parent's until it leaves.

Small on purpose: the monitor imports it.
"""

import ctypes
import errno

from host.syscalls import numbered

_JOIN_SESSION_KEYRING = 1
_SET_PERMISSIONS = 5
_DESCRIBE = 6
# A kernel without keyrings; a filter that keeps us, and so what we start, from them.
_NONE = (errno.ENOSYS, errno.EPERM, errno.EACCES)


def leave_session_keyring() -> None:
    """Give the calling thread a session keyring of its own, empty: what it starts from now on has that one.

    Raises:
        OSError: too many keys, or no memory.
    """
    _join(None)


def join_session_keyring(name: str, permissions: int) -> None:
    """Have the session keyring ``name``, new unless we may search one of that name, with ``permissions``
    (keyctl_setperm(3)) added; a kernel without keyrings is fine."""
    keyring = _join(name.encode())
    if keyring <= 0:
        return
    text = ctypes.create_string_buffer(256)
    _keyctl(_DESCRIBE, keyring, ctypes.addressof(text), len(text))
    current = int(text.value.split(b";")[3], 16)
    _keyctl(_SET_PERMISSIONS, keyring, current | permissions)


def _join(name: bytes | None) -> int:
    """The keyring's number, 0 where there are none."""
    buffer = None if name is None else ctypes.create_string_buffer(name)
    try:
        return _keyctl(_JOIN_SESSION_KEYRING, 0 if buffer is None else ctypes.addressof(buffer))
    except OSError as error:
        if error.errno not in _NONE:
            raise
        return 0


def _keyctl(operation: int, *values: int) -> int:
    words = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return numbered("keyctl", ctypes.c_int(operation), *words)
