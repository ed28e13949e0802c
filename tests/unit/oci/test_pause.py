import platform
import signal
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oci.pause import NoPauseProgram, build, make_rootfs
from tests.harness import processes

MACHINES = {"x86_64": 62, "aarch64": 183}
needs_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs machine code of x86-64")


@pytest.mark.parametrize("machine", MACHINES)
def test_it_is_a_static_executable_that_fits_its_headers(machine: str) -> None:
    program = build(machine)
    assert program[:7] == b"\x7fELF\x02\x01\x01"
    kind, number, _, entry, headers = struct.unpack_from("<HHIQQ", program, 16)
    assert (kind, number, headers) == (2, MACHINES[machine], 64)
    loaded, flags, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", program, 64)
    assert (loaded, flags, offset) == (1, 5, 0)  # readable and executable, not writable
    assert in_file == in_memory == len(program)
    assert address < entry < address + len(program)
    assert entry % 4 == 0
    assert len(program) < 400


def test_arm64_code_reads_as_intended() -> None:
    """Decode what matters: the calls in order, their data, and the loop's target."""
    program = build("aarch64")
    start = 64 + 2 * 56
    words = struct.unpack_from("<22I", program, start)
    numbers = [word >> 5 & 0xFFFF for word in words if word & 0xFFE0001F == 0xD2800008]  # movz x8
    assert numbers == [134, 135, 137, 93]
    assert words.count(0xD4000001) == 4  # svc #0
    data = []
    for index, word in enumerate(words):
        if word & 0x9F000000 == 0x10000000:  # adr
            distance = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            data.append(program[start + index * 4 + distance :])
    assert data[0].startswith(struct.pack("<4Q", 1, 2, 0, 0))  # SIG_IGN, SA_NOCLDWAIT
    assert data[1] == data[2] == struct.pack("<Q", 1 << 1 | 1 << 14)  # SIGINT, SIGTERM
    branch = next(index for index, word in enumerate(words) if word & 0xFF00001F == 0x5400000D)  # b.le
    distance = (words[branch] >> 5 & 0x7FFFF) - (1 << 19)
    assert words[branch + distance] == 0xD2800008 | 137 << 5  # back to rt_sigtimedwait


def test_other_machines_are_told_what_to_do() -> None:
    with pytest.raises(NoPauseProgram, match="pause_image"):
        build("riscv64")


def test_the_root_file_system_is_made_once(tmp_path: Path) -> None:
    make_rootfs(tmp_path / "root", "x86_64")
    made = (tmp_path / "root/pause").stat()
    make_rootfs(tmp_path / "root", "x86_64")
    assert (tmp_path / "root/pause").stat().st_ino == made.st_ino
    assert made.st_mode & 0o777 == 0o555
    assert sorted(entry.name for entry in (tmp_path / "root").iterdir()) == ["dev", "pause", "proc", "sys"]


def test_many_may_make_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: make_rootfs(tmp_path / "root", "aarch64"), range(32)))
    assert (tmp_path / "root/pause").read_bytes() == build("aarch64")
    assert sorted(entry.name for entry in (tmp_path / "root").iterdir()) == ["dev", "pause", "proc", "sys"]


@needs_x86_64
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_waits_and_ends_well_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    make_rootfs(tmp_path, "x86_64")
    process = subprocess.Popen([str(tmp_path / "pause")])
    try:
        while not waits(process.pid):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def waits(pid: int) -> bool:
    """It ignores SIGCHLD and sleeps; the one place where it sleeps is the wait for its signals."""
    fields = processes.status(pid)
    return fields["State"].startswith("S") and bool(int(fields["SigIgn"], 16) >> (signal.SIGCHLD - 1) & 1)
