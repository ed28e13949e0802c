import pytest

from host.cgroup_limits import UNLIMITED, Limits
from host.unit_properties import INFINITY, Property, bitmap, of_files, properties

MIB = 1 << 20


@pytest.mark.parametrize(
    ("asked", "now", "expected"),
    [
        (Limits(), Limits(memory_bytes=MIB), []),
        (Limits(cpu_shares=1024), Limits(), [("CPUWeight", "t", 100)]),
        (Limits(memory_bytes=MIB), Limits(memory_bytes=MIB), [("MemoryMax", "t", MIB)]),
        (Limits(memory_bytes=UNLIMITED), Limits(), [("MemoryMax", "t", INFINITY)]),
        (
            Limits(memory_swap_bytes=3 * MIB),
            Limits(memory_bytes=MIB, memory_swap_bytes=3 * MIB),
            [("MemorySwapMax", "t", 2 * MIB)],
        ),
        (
            Limits(memory_swap_bytes=MIB),
            Limits(memory_bytes=MIB, memory_swap_bytes=MIB),
            [("MemorySwapMax", "t", 0)],
        ),
        (Limits(memory_swap_bytes=UNLIMITED), Limits(), [("MemorySwapMax", "t", INFINITY)]),
        (Limits(pids=7), Limits(pids=7), [("TasksMax", "t", 7)]),
        (Limits(pids=UNLIMITED), Limits(), [("TasksMax", "t", INFINITY)]),
        (Limits(cpuset_cpus="0,3"), Limits(), [("AllowedCPUs", "ay", b"\x09")]),
        (Limits(cpuset_mems="0"), Limits(), [("AllowedMemoryNodes", "ay", b"\x01")]),
        (
            Limits(cpu_quota_us=20000),
            Limits(cpu_quota_us=20000, cpu_period_us=50000),
            [("CPUQuotaPerSecUSec", "t", 400000), ("CPUQuotaPeriodUSec", "t", 50000)],
        ),
        (  # whole percents, never less than asked for
            Limits(cpu_quota_us=1500),
            Limits(cpu_quota_us=1500, cpu_period_us=100000),
            [("CPUQuotaPerSecUSec", "t", 20000), ("CPUQuotaPeriodUSec", "t", 100000)],
        ),
        (Limits(cpu_quota_us=UNLIMITED), Limits(), [("CPUQuotaPerSecUSec", "t", INFINITY)]),
        (Limits(unified={"memory.high": "4096"}), Limits(), [("MemoryHigh", "t", 4096)]),
        (Limits(hugepage_bytes={"2MB": 0}), Limits(), []),
    ],
)
def test_every_limit_becomes_the_property_that_keeps_it(
    asked: Limits, now: Limits, expected: list[Property]
) -> None:
    assert properties(asked, now) == expected


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("memory.high", "max", [("MemoryHigh", "t", INFINITY)]),
        ("memory.low", "1", [("MemoryLow", "t", 1)]),
        ("memory.swap.max", "0", [("MemorySwapMax", "t", 0)]),
        ("cpu.max", "max 100000", [("CPUQuotaPerSecUSec", "t", INFINITY)]),
        (
            "cpu.max",
            "5000 10000",
            [("CPUQuotaPerSecUSec", "t", 500000), ("CPUQuotaPeriodUSec", "t", 10000)],
        ),
        ("cpuset.cpus", "1", [("AllowedCPUs", "ay", b"\x02")]),
        ("memory.oom.group", "1", []),
        ("memory.high", "nonsense", []),  # the kernel's to refuse
    ],
)
def test_files_that_have_a_property(file: str, text: str, expected: list[Property]) -> None:
    assert of_files({file: text}) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [("", b""), ("0", b"\x01"), ("0-2", b"\x07"), ("1,8-9", b"\x02\x03"), (" 0, 2 ", b"\x05")],
)
def test_sets_are_bits(numbers: str, expected: bytes) -> None:
    assert bitmap(numbers) == expected
