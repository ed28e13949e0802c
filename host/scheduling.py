"""Scheduling of a process: policy, I/O priority, memory policy, personality (sched(7), ioprio_set(2)).

Small on purpose: the monitor imports it.
"""

import ctypes
import struct

from host.syscalls import libc, numbered, raise_errno

_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13


def set_scheduler(
    pid: int,
    policy: int,
    flags: int,
    nice: int,
    priority: int,
    times_ns: tuple[int, int, int],
) -> None:
    """sched_setattr(2); ``times_ns`` are runtime, deadline and period of SCHED_DEADLINE."""
    attributes = struct.pack("=IIQiIQQQ", 48, policy, flags, nice, priority, *times_ns)
    numbered("sched_setattr", ctypes.c_int(pid), attributes, ctypes.c_uint(0))


def set_io_priority(pid: int, io_class: int, priority: int) -> None:
    """ioprio_set(2) for one process."""
    value = io_class << _IOPRIO_CLASS_SHIFT | priority
    numbered("ioprio_set", ctypes.c_int(_IOPRIO_WHO_PROCESS), ctypes.c_int(pid), ctypes.c_int(value))


def set_memory_policy(mode: int, nodes: int) -> None:
    """set_mempolicy(2) for this process; ``nodes`` is a bit mask, 0 for none."""
    size = (nodes.bit_length() + 63) // 64
    mask = nodes.to_bytes(size * 8, "little") if nodes else None
    numbered("set_mempolicy", ctypes.c_int(mode), mask, ctypes.c_ulong(size * 64 + 1 if nodes else 0))


def set_personality(persona: int) -> None:
    """personality(2)."""
    if libc.personality(ctypes.c_ulong(persona)) < 0:
        raise_errno("personality")
