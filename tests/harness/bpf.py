"""A seccomp filter tried out without loading it: classic BPF, as seccomp(2) runs it."""

import struct
from collections.abc import Sequence

ARCHITECTURES = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

_JUMPS = {
    0x10: lambda a, k: a == k,
    0x20: lambda a, k: a > k,
    0x30: lambda a, k: a >= k,
    0x40: lambda a, k: a & k,
}


def verdict(program: bytes, architecture: str, number: int, arguments: Sequence[int] = ()) -> int:
    """What the filter returns for a system call with up to six arguments of 64 bits."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number, ARCHITECTURES[architecture], 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator, place = 0, 0
    while True:
        operation, yes, no, constant = code[place]
        place += 1
        match operation & 0x07:
            case 0x00:  # load a word
                accumulator = struct.unpack_from("<I", data, constant)[0]
            case 0x04:  # libseccomp only masks
                accumulator &= constant
            case 0x05:
                if operation & 0xF0:
                    place += yes if _JUMPS[operation & 0xF0](accumulator, constant) else no
                else:
                    place += constant
            case 0x06:
                return int(constant)
            case other:
                raise AssertionError(f"instruction class {other} in a seccomp filter")
