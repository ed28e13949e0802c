"""libc by ctypes: the handle, errno handling, and system call numbers that libc has no wrapper for.

Other modules of host/ build one thin function per call on top of this; nothing outside host/
(and the monitor's fork path) imports it.
"""

import ctypes
import os
from typing import NoReturn

libc = ctypes.CDLL(None, use_errno=True)

# Numbers that x86-64 and arm64 share (asm-generic/unistd.h, 424 and above).
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_CLONE3 = 435
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442


def raise_errno(call: str, subject: str | os.PathLike[str] | None = None) -> NoReturn:
    """Raise OSError for the errno that the last libc call of this thread left."""
    number = ctypes.get_errno()
    text = f"{call}: {os.strerror(number)}"
    if subject is None:
        raise OSError(number, text)
    raise OSError(number, text, os.fspath(subject))


def syscall(name: str, number: int, *arguments: object, subject: str | os.PathLike[str] | None = None) -> int:
    """Make a raw system call; errno becomes OSError naming the call and its subject."""
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise_errno(name, subject)
    return result
