"""Limits as properties of systemd's units (systemd.resource-control(5), org.freedesktop.systemd1(5)); pure.

A property is (name, D-Bus signature, value). Limits without a property, such as those of huge pages, stay in
the files, which systemd leaves alone.
"""

from collections.abc import Mapping

from host.cgroup_limits import Limits, weight_from_shares

Property = tuple[str, str, object]

INFINITY = (1 << 64) - 1
# systemd keeps a quota in whole percents of a CPU; less would take from what was asked for.
_QUOTA_STEP_US = 10_000
_SECOND_US = 1_000_000
_DEFAULT_PERIOD_US = 100_000

# Files of version 2 with a number or "max", by the property that holds it.
_NUMBERS = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "memory.zswap.max": "MemoryZSwapMax",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
    "io.weight": "IOWeight",
}
_SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}


def properties(asked: Limits, now: Limits) -> list[Property]:
    """What makes systemd keep ``asked``, which the kernel has taken; ``now`` are the limits as they are."""
    found: list[Property] = []
    if asked.cpu_shares is not None:
        found.append(("CPUWeight", "t", weight_from_shares(asked.cpu_shares)))
    if asked.cpu_quota_us is not None or asked.cpu_period_us is not None:
        found += quota_properties(now.cpu_quota_us, now.cpu_period_us or _DEFAULT_PERIOD_US)
    for name, cpus in (("AllowedCPUs", asked.cpuset_cpus), ("AllowedMemoryNodes", asked.cpuset_mems)):
        if cpus is not None:
            found.append((name, "ay", bitmap(cpus)))
    if asked.memory_bytes is not None:
        found.append(("MemoryMax", "t", _or_infinity(now.memory_bytes)))
    if asked.memory_swap_bytes is not None:
        found.append(("MemorySwapMax", "t", _swap(now)))
    if asked.pids is not None:
        found.append(("TasksMax", "t", _or_infinity(now.pids)))
    return found + of_files(asked.unified)


def of_files(files: Mapping[str, str]) -> list[Property]:
    """The same for files of version 2 (the OCI's ``unified``); those without a property are left out."""
    found: list[Property] = []
    for file, text in files.items():
        if name := _NUMBERS.get(file):
            found += [(name, "t", INFINITY if text == "max" else int(text))] if _is_number(text) else []
        elif name := _SETS.get(file):
            found.append((name, "ay", bitmap(text)))
        elif file == "cpu.max":
            quota, _, period = text.partition(" ")
            found += quota_properties(
                None if quota == "max" else int(quota), int(period) if period else _DEFAULT_PERIOD_US
            )
    return found


def bitmap(numbers: str) -> bytes:
    """A list such as "0-1,4" as bytes with a bit for each number, the lowest first; "" has none."""
    bits = 0
    for part in numbers.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first:
            bits |= sum(1 << number for number in range(int(first), int(last or first) + 1))
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def quota_properties(quota_us: int | None, period_us: int) -> list[Property]:
    """A quota, None for none, in steps of systemd's, never less than asked for."""
    if quota_us is None:
        return [("CPUQuotaPerSecUSec", "t", INFINITY)]
    per_second = quota_us * _SECOND_US // period_us
    rounded = -(-per_second // _QUOTA_STEP_US) * _QUOTA_STEP_US
    return [("CPUQuotaPerSecUSec", "t", rounded), ("CPUQuotaPeriodUSec", "t", period_us)]


def _swap(now: Limits) -> int:
    """Swap alone; the limits count memory and swap together."""
    if now.memory_swap_bytes is None or now.memory_bytes is None:
        return INFINITY
    return now.memory_swap_bytes - now.memory_bytes


def _or_infinity(value: int | None) -> int:
    return INFINITY if value is None else value


def _is_number(text: str) -> bool:
    return text == "max" or text.isdigit()
