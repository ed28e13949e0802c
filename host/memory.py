"""The C library's allocator, for processes that copy much and hold little."""

import ctypes

from host.syscalls import libc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory(size_bytes: int) -> None:
    """Let malloc keep up to ``size_bytes`` of freed memory, and serve blocks up to that size from it.

    By default glibc returns blocks of some 100 KiB to the kernel at once and page-faults them in again
    for the next one: four fifths of the time of formatting a 64 KiB read of log lines. Other C libraries
    have no such knob, and are left alone.
    """
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is not None:
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(ctypes.c_int(option), ctypes.c_int(size_bytes))
