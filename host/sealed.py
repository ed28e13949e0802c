"""Our interpreter, so that nobody whom it runs as can change it (CVE-2019-5736).

A process that is set up for a container is, until it executes the container's program, our interpreter in
there; /proc/PID/exe of it, or of a program that a container has made of it by executing /proc/self/exe, leads
to the file. Executed from a mount of its own that is read-only, and on no path, that link cannot be opened
for writing; where no such mount can be made it is a sealed copy in memory (memfd_create(2)).

Small on purpose: it is run before anything else.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Mapping, Sequence

_OPTION = "sealed"  # python -X sealed: this has been tried
_OWN = "/proc/self/exe"
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # no more seals, no shrinking, growing, writing
_MFD_ALLOW_SEALING = 0x2
_MFD_EXEC = 0x10
_COPY_BYTES = 1 << 24


class NotSealed(OSError):
    """The interpreter could be changed from within a container, so none is entered."""


def is_sealed() -> bool:
    """Whether our executable file can be written to by nobody who opens it through us."""
    if os.readlink(_OWN).startswith("/memfd:"):
        return bool(_seals(_OWN) & 0x8)
    return bool(os.statvfs(_OWN).f_flag & os.ST_RDONLY)


def _seals(path: str) -> int:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return fcntl.fcntl(file, fcntl.F_GET_SEALS)
    return 0


def execute_sealed(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Execute ourselves again, sealed, with the same ``arguments`` (sys.orig_argv); return if we are.

    Raises:
        NotSealed: it cannot be.
    """
    if is_sealed():
        return
    if _OPTION in sys._xoptions:
        raise NotSealed(1, "it can be written to, although it was sealed", sys.executable)
    os.execve(_read_only(), [sys.executable, "-X", _OPTION, *arguments[1:]], environment)


def _read_only() -> int:
    from host.mounts import MOUNT_ATTR_RDONLY, mount_setattr, open_tree

    try:
        tree = open_tree(os.path.realpath(_OWN))
        mount_setattr(tree, attributes_set=MOUNT_ATTR_RDONLY)
    except OSError:  # no privilege to make mounts
        return _in_memory()
    return tree


def _in_memory() -> int:
    try:
        copy = os.memfd_create("podwright", os.MFD_CLOEXEC | _MFD_ALLOW_SEALING | _MFD_EXEC)
    except OSError:  # before Linux 6.3
        copy = os.memfd_create("podwright", os.MFD_CLOEXEC | _MFD_ALLOW_SEALING)
    with open(_OWN, "rb") as source:
        while os.sendfile(copy, source.fileno(), None, _COPY_BYTES):
            pass
    fcntl.fcntl(copy, _F_ADD_SEALS, _SEALS)
    return copy
