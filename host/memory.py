"""The C library's allocator, for processes that copy much and hold little, or have many threads."""

import ctypes

from host.syscalls import libc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_freed_memory(size_bytes: int) -> None:
    """Let malloc keep up to ``size_bytes`` of freed memory, and serve blocks up to that size from it.

    By default glibc returns blocks of some 100 KiB to the kernel at once and page-faults them in again
    for the next one: four fifths of the time of formatting a 64 KiB read of log lines. Other C libraries
    have no such knob, and are left alone.
    """
    for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        _set(option, size_bytes)


def share_arenas(number: int) -> None:
    """Let all threads together have ``number`` arenas of malloc, from now on.

    By default glibc makes eight a processor, one for each new thread, and what a thread frees in its own
    serves no other: a burst of calls over many threads leaves megabytes behind that are free and unused.
    """
    _set(_M_ARENA_MAX, number)


def _set(option: int, value: int) -> None:
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is not None:
        mallopt(ctypes.c_int(option), ctypes.c_int(value))
