"""What ps(1) calls this process: for one that was forked and has another's name and command line."""

import ctypes
import os

from host.spawn import PR_SET_NAME
from host.syscalls import libc, raise_errno

_ARG_START, _ARG_END = 47, 48  # fields 48 and 49 of proc(5)'s stat, counted from 0
_COMM_BYTES = 15


def set_name(name: str, command_line: str) -> None:
    """Show ``name`` (15 bytes of it) as the command and ``command_line`` as its arguments.

    The arguments are overwritten where the kernel put them at exec, and cut to that size. One without /proc
    keeps the old ones.
    """
    zero = ctypes.c_ulong(0)
    short = ctypes.create_string_buffer(os.fsencode(name)[:_COMM_BYTES])
    if libc.prctl(ctypes.c_int(PR_SET_NAME), short, zero, zero, zero) < 0:
        raise_errno("prctl PR_SET_NAME")
    start, end = _arguments()
    if end > start:
        # A last byte that is not NUL tells the kernel that the text ends at the first (fs/proc/base.c).
        text = os.fsencode(command_line)[: end - start - 2].ljust(end - start - 1, b"\0") + b"\1"
        ctypes.memmove(start, text, end - start)


def _arguments() -> tuple[int, int]:
    """Where the arguments lie in memory, from and to; nowhere (0, 0) if the kernel does not tell."""
    try:
        with open("/proc/self/stat", "rb") as file:
            text = file.read()
    except OSError:
        return 0, 0
    fields = text[text.rindex(b")") + 2 :].split()
    return int(fields[_ARG_START - 2]), int(fields[_ARG_END - 2])
