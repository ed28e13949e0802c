"""Programs of version 2 cgroups that decide about devices (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).

Every call passes 64 zeroed bytes or more: kernels from 6.17 on, before 7.2, write to offset 56 when asked for
a cgroup's programs, however small the argument is.
"""

import ctypes
import errno
import os
import struct

from host.syscalls import syscall

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_ARGUMENT_SIZE = 128
_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_DETACH = 9
_PROG_GET_FD_BY_ID = 13
_PROG_QUERY = 16
_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_ALLOW_MULTI = 2
_REPLACE = 4
_MOST_PROGRAMS = 64  # as many as the kernel takes for one cgroup
_LOAD_TRIES = 30
_INSTRUCTION_SIZE = 8


def load_device_program(code: bytes) -> int:
    """A descriptor of the program; it lives as long as that, or as long as it is attached.

    Raises:
        OSError: EPERM without CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN; EINVAL, EACCES by the verifier.
    """
    text = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"Apache")
    argument = struct.pack(
        "=IIQQIIQ",
        _TYPE_CGROUP_DEVICE,
        len(code) // _INSTRUCTION_SIZE,
        ctypes.addressof(text),
        ctypes.addressof(license_),
        0,
        0,
        0,
    )
    for _ in range(_LOAD_TRIES - 1):
        try:
            return _bpf(_PROG_LOAD, argument)[0]
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a signal is pending
                raise
    return _bpf(_PROG_LOAD, argument)[0]


def device_programs(cgroup: int) -> list[int]:
    """Numbers of the device programs attached to the cgroup that the descriptor is of."""
    numbers = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    argument = struct.pack(
        "=IIIIQII", cgroup, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(numbers), _MOST_PROGRAMS, 0
    )
    _, answer = _bpf(_PROG_QUERY, argument)
    count = struct.unpack_from("=I", answer, 24)[0]
    return list(numbers[:count])


def set_device_program(cgroup: int, program: int) -> None:
    """Have ``program`` decide in the cgroup, in the place of those that are attached to it.

    Raises:
        OSError: EPERM where that takes more than we have.
    """
    old = [_bpf(_PROG_GET_FD_BY_ID, struct.pack("=I", number))[0] for number in device_programs(cgroup)]
    try:
        if len(old) == 1:
            _attach(cgroup, program, _ALLOW_MULTI | _REPLACE, old[0])
            return
        _attach(cgroup, program, _ALLOW_MULTI, 0)
        for one in old:
            _bpf(_PROG_DETACH, struct.pack("=IIII", cgroup, one, _ATTACH_CGROUP_DEVICE, 0))
    finally:
        for one in old:
            os.close(one)


def _attach(cgroup: int, program: int, flags: int, replaced: int) -> None:
    _bpf(_PROG_ATTACH, struct.pack("=IIIII", cgroup, program, _ATTACH_CGROUP_DEVICE, flags, replaced))


def _bpf(command: int, argument: bytes) -> tuple[int, bytes]:
    """The call's result, and its argument as the kernel leaves it."""
    number = _NUMBERS[os.uname().machine]
    block = ctypes.create_string_buffer(argument, _ARGUMENT_SIZE)
    result = syscall("bpf", number, ctypes.c_int(command), block, ctypes.c_uint(_ARGUMENT_SIZE))
    return result, block.raw
