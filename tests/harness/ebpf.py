"""A device program of cgroup version 2 tried out without the kernel: as much of eBPF as they need."""

import struct

_MASK_32 = (1 << 32) - 1
ACCESS = {"m": 1, "r": 2, "w": 4}
KINDS = {"b": 1, "c": 2}


def permits(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """The program's answer to one opening, or making, of a device."""
    word = KINDS[kind] | sum(ACCESS[letter] for letter in access) << 16
    context = struct.pack("<III", word, major, minor)
    code = list(struct.iter_unpack("<BBhI", program))
    registers = [0] * 11
    place = 0
    for _ in range(len(code) + 1):
        operation, registers_, offset, constant = code[place]
        destination, source = registers_ & 15, registers_ >> 4
        place += 1
        match operation:
            case 0x61:
                assert source == 1
                registers[destination] = struct.unpack_from("<I", context, offset)[0]
            case 0xBC:
                registers[destination] = registers[source]
            case 0xB4:
                registers[destination] = constant
            case 0x54:
                registers[destination] &= constant
            case 0x74:
                registers[destination] = (registers[destination] & _MASK_32) >> constant
            case 0x56 | 0x5E | 0x16:
                value = registers[source] if operation == 0x5E else constant
                if (registers[destination] == value) == (operation == 0x16):
                    place += offset
            case 0x95:
                return bool(registers[0])
            case other:
                raise AssertionError(f"instruction {other:#x}")
    raise AssertionError("the program does not end")
