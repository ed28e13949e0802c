"""The pause program: a static ELF of a few hundred bytes, put together here from machine code.

A sandbox with a shared PID namespace needs a process 1 that waits, reaps orphans and ends on SIGTERM or
SIGINT. In C:

    sigaction(SIGCHLD, SIG_IGN with SA_NOCLDWAIT);     // the kernel reaps children and orphans by itself
    sigprocmask(SIG_BLOCK, {SIGINT, SIGTERM});         // else process 1 would never see them
    while (sigtimedwait({SIGINT, SIGTERM}, NULL, NULL) <= 0)
        ;                                              // interrupted: wait again
    _exit(0);
"""

import struct
from pathlib import Path

from api.errors import Unimplemented
from host.files import write_atomic
from host.private import public_directory

PROGRAM_PATH = "/pause"
_BASE = 0x400000
_HEADERS = 64 + 2 * 56  # ELF header, PT_LOAD, PT_GNU_STACK
_SIGCHLD = 17
_SIGSET = struct.pack("<Q", 1 << (2 - 1) | 1 << (15 - 1))  # SIGINT, SIGTERM
# struct sigaction of the kernel: handler SIG_IGN, flags SA_NOCLDWAIT, no restorer, empty mask
_SIGACTION = struct.pack("<4Q", 1, 2, 0, 0)
_EM_X86_64, _EM_AARCH64 = 62, 183


class NoPauseProgram(Unimplemented):
    """There is no built-in pause program for this architecture; configure pause_image."""


def make_rootfs(directory: Path, machine: str) -> None:
    """Make ``directory`` a root file system for pause containers, which may all share it read-only.

    ``machine`` is what uname(2) says. Idempotent, also when several threads do it at once.

    Raises:
        NoPauseProgram: neither x86_64 nor aarch64.
    """
    program = build(machine)
    public_directory(directory.parent, 0o700)
    for name in ("proc", "dev", "sys"):
        public_directory(directory / name)
    target = directory / PROGRAM_PATH.lstrip("/")
    if target.is_file() and target.read_bytes() == program:
        return
    write_atomic(target, program, 0o555, durable=False)


def build(machine: str) -> bytes:
    """The program's bytes for ``machine``.

    Raises:
        NoPauseProgram: neither x86_64 nor aarch64.
    """
    if machine == "x86_64":
        return _elf(_EM_X86_64, _x86_64())
    if machine == "aarch64":
        return _elf(_EM_AARCH64, _aarch64())
    raise NoPauseProgram(f"no built-in pause program for {machine}: set pause_image to an image with one")


def _x86_64() -> bytes:
    """Code and data for x86-64; arguments in rdi, rsi, rdx, r10, the call's number in eax."""
    length = 80  # the code and some padding: data follows aligned
    action, signals = length, length + len(_SIGACTION)

    def lea(opcode: str, at: int, target: int) -> bytes:
        """lea reg, [rip + distance]: 7 bytes, the distance counted from the next instruction."""
        return bytes.fromhex(opcode) + struct.pack("<i", target - (at + 7))

    code = b"".join(
        (
            bytes.fromhex("b80d000000"),  # 0   mov eax, 13        rt_sigaction
            bytes.fromhex("bf") + struct.pack("<I", _SIGCHLD),  # 5   mov edi, SIGCHLD
            lea("488d35", 10, action),  # 10  lea rsi, [action]
            bytes.fromhex("31d2"),  # 17  xor edx, edx       no old action
            bytes.fromhex("41ba08000000"),  # 19  mov r10d, 8        bytes of a signal set; kept below
            bytes.fromhex("0f05"),  # 25  syscall
            bytes.fromhex("b80e000000"),  # 27  mov eax, 14        rt_sigprocmask
            bytes.fromhex("31ff"),  # 32  xor edi, edi       SIG_BLOCK
            lea("488d35", 34, signals),  # 34  lea rsi, [signals]
            bytes.fromhex("0f05"),  # 41  syscall            rdx is still 0
            bytes.fromhex("b880000000"),  # 43  mov eax, 128       rt_sigtimedwait
            lea("488d3d", 48, signals),  # 48  lea rdi, [signals]
            bytes.fromhex("31f6"),  # 55  xor esi, esi       no siginfo
            bytes.fromhex("31d2"),  # 57  xor edx, edx       no timeout
            bytes.fromhex("0f05"),  # 59  syscall
            bytes.fromhex("85c0"),  # 61  test eax, eax
            bytes.fromhex("7eea"),  # 63  jle 43             -22 from 65
            bytes.fromhex("b83c000000"),  # 65  mov eax, 60        exit
            bytes.fromhex("31ff"),  # 70  xor edi, edi
            bytes.fromhex("0f05"),  # 72  syscall
            bytes.fromhex("0f0b"),  # 74  ud2                not reached
        )
    )
    return code.ljust(length, b"\xcc") + _SIGACTION + _SIGSET


def _aarch64() -> bytes:
    """Code and data for arm64; arguments in x0 to x3, the call's number in x8."""
    length = 22 * 4
    action, signals = length, length + len(_SIGACTION)

    def mov(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register  # movz x<register>, #value

    def adr(register: int, at: int, target: int) -> int:
        distance = target - at
        return 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | register

    svc, compare, wait_again = 0xD4000001, 0xF100001F, 0x54000000 | (-7 & 0x7FFFF) << 5 | 0xD
    words = (
        mov(8, 134),  # 0   rt_sigaction
        mov(0, _SIGCHLD),
        adr(1, 8, action),
        mov(2, 0),
        mov(3, 8),  # bytes of a signal set; x1 to x7 survive a call
        svc,
        mov(8, 135),  # 24  rt_sigprocmask
        mov(0, 0),
        adr(1, 32, signals),
        mov(2, 0),
        svc,
        mov(8, 137),  # 44  rt_sigtimedwait
        adr(0, 48, signals),
        mov(1, 0),
        mov(2, 0),
        mov(3, 8),
        svc,
        compare,  # 68  cmp x0, #0
        wait_again,  # 72  b.le 44
        mov(8, 93),  # 76  exit
        mov(0, 0),
        svc,
    )
    return b"".join(struct.pack("<I", word) for word in words).ljust(length, b"\0") + _SIGACTION + _SIGSET


def _elf(machine: int, body: bytes) -> bytes:
    """A static executable: one readable and executable segment, a stack that is not executable."""
    size = _HEADERS + len(body)
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little-endian, version 1
    entry = _BASE + _HEADERS
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + stack + body
