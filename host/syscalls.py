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


# Numbers that differ: x86-64's and those of asm-generic, which arm64 and riscv64 have.
_NUMBERS = {
    "capset": (126, 91),
    "ioprio_set": (251, 30),
    "keyctl": (250, 219),
    "pivot_root": (155, 41),
    "sched_setattr": (314, 274),
    "seccomp": (317, 277),
    "set_mempolicy": (238, 237),
    "pidfd_getfd": (438, 438),
}


def numbered(name: str, *arguments: object, subject: str | os.PathLike[str] | None = None) -> int:
    """Make one of the system calls of ``_NUMBERS`` by its name; errno becomes OSError."""
    # A process of personality LINUX32 sees "i686", and its calls stay those of the interpreter.
    number = _NUMBERS[name][os.uname().machine not in ("x86_64", "i686")]
    return syscall(name, number, *arguments, subject=subject)
