"""A device list as an eBPF program for version 2 (linux/bpf.h, struct bpf_cgroup_dev_ctx); pure.

r2 type   r3 access   r4 major   r5 minor          one block an exception, the default at the end
"""

import struct
from collections.abc import Iterable

from oci.run.cgroups.devices import ANY, DeviceList, Devices

_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL = 7

_LOAD_WORD = 0x61
_MOVE = 0xBC
_MOVE_CONSTANT = 0xB4
_AND = 0x54
_SHIFT_RIGHT = 0x74
_EXIT = 0x95
# Of 32 bits, for numbers above 2**31 stay what they are.
_JUMP_UNEQUAL = 0x56
_JUMP_UNEQUAL_REGISTER = 0x5E
_JUMP_EQUAL = 0x16

_Instruction = tuple[int, int, int, int, int]  # operation, destination, source, offset, constant


def program(devices: DeviceList) -> bytes:
    """The instructions; the program returns 1 for what is allowed."""
    code: list[_Instruction] = [
        (_LOAD_WORD, 2, 1, 0, 0),
        (_MOVE, 3, 2, 0, 0),
        (_AND, 2, 0, 0, 0xFFFF),
        (_SHIFT_RIGHT, 3, 0, 0, 16),
        (_LOAD_WORD, 4, 1, 4, 0),
        (_LOAD_WORD, 5, 1, 8, 0),
    ]
    for which, access in devices.exceptions.items():
        code += _block(which, access, answer=not devices.allowed)
    code += [(_MOVE_CONSTANT, 0, 0, 0, int(devices.allowed)), (_EXIT, 0, 0, 0, 0)]
    return b"".join(map(_encoded, code))


def _block(devices: Devices, access: Iterable[str], *, answer: bool) -> list[_Instruction]:
    """Answer if it is about these devices and the access that is asked for: with ``answer`` yes all of it
    must be in ``access``, with no any of it."""
    mask = sum(_ACCESS[letter] for letter in access)
    tests: list[_Instruction] = [(_JUMP_UNEQUAL, 2, 0, 0, _KINDS[devices.kind])]
    if mask != _ALL or not answer:
        tests += [(_MOVE, 1, 3, 0, 0), (_AND, 1, 0, 0, mask)]
        tests.append((_JUMP_UNEQUAL_REGISTER, 1, 3, 0, 0) if answer else (_JUMP_EQUAL, 1, 0, 0, 0))
    for register, number in ((4, devices.major), (5, devices.minor)):
        if number != ANY:
            tests.append((_JUMP_UNEQUAL, register, 0, 0, number))
    body = [*tests, (_MOVE_CONSTANT, 0, 0, 0, int(answer)), (_EXIT, 0, 0, 0, 0)]
    return [_aimed(one, len(body) - place - 1) for place, one in enumerate(body)]


def _aimed(instruction: _Instruction, distance: int) -> _Instruction:
    """Jumps lead behind the block."""
    operation, destination, source, _, constant = instruction
    jumps = operation in (_JUMP_UNEQUAL, _JUMP_UNEQUAL_REGISTER, _JUMP_EQUAL)
    return operation, destination, source, distance if jumps else 0, constant


def _encoded(instruction: _Instruction) -> bytes:
    operation, destination, source, offset, constant = instruction
    return struct.pack("<BBhI", operation, source << 4 | destination, offset, constant)
