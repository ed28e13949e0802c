"""A cgroup's counters in the form of runc's ``events``, which podman and containerd's shim read.

Times are nanoseconds, sizes bytes; "no limit" is the largest number that the kernel's version has for it.
Swap is memory and swap together, as version 1 counts it.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from oci.run.cgroups.plan import Read, as_number

_NO_LIMIT = (1 << 64) - 1
_PAGE_SIZES = "/sys/kernel/mm/hugepages"
_UNITS = ("KB", "MB", "GB")
_CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)


def statistics(version_of: Callable[[str], int], read: Read) -> dict[str, Any]:
    """Everything there is; what nobody counts is 0 or missing."""
    cpu = _cpu_v2(read) if version_of("cpuacct") == 2 else _cpu_v1(read)
    memory = _memory_v2(read) if version_of("memory") == 2 else _memory_v1(read)
    hugetlb = _hugetlb_v2 if version_of("hugetlb") == 2 else _hugetlb_v1
    return {
        "cpu": cpu,
        "cpuset": _cpuset(read),
        "memory": memory,
        "pids": {
            "current": _number(read, "pids", "pids.current"),
            "limit": _number(read, "pids", "pids.max"),
        },
        "blkio": _io_v2(read) if version_of("blkio") == 2 else _io_v1(read),
        "hugetlb": {size: hugetlb(read, size) for size in page_sizes()},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def oom_kills(version: int, read: Read) -> int:
    """The kernel's own counter."""
    return pairs(read("memory", "memory.events" if version == 2 else "memory.oom_control")).get("oom_kill", 0)


def page_sizes(directory: str = _PAGE_SIZES) -> list[str]:
    """Sizes of huge pages as cgroups spell them: "2MB" of hugepages-2048kB."""
    names: Iterable[str] = ()
    with contextlib.suppress(OSError):
        names = os.listdir(directory)
    return sorted(_spelled(int(name.removeprefix("hugepages-").removesuffix("kB"))) for name in names)


def _spelled(kilobytes: int) -> str:
    unit = 0
    while kilobytes >= 1024 and kilobytes % 1024 == 0 and unit + 1 < len(_UNITS):
        kilobytes, unit = kilobytes // 1024, unit + 1
    return f"{kilobytes}{_UNITS[unit]}"


def pairs(text: str | None) -> dict[str, int]:
    """A flat-keyed file ("name number" lines)."""
    found = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            found[name] = int(value)
    return found


def _number(read: Read, controller: str, name: str) -> int:
    return as_number(read(controller, name)) or 0


def _limit(read: Read, controller: str, name: str) -> int:
    text = read(controller, name)
    return _NO_LIMIT if text == "max" else as_number(text) or 0


def _cpu_v1(read: Read) -> dict[str, Any]:
    columns = [line.split() for line in (read("cpuacct", "cpuacct.usage_all") or "").splitlines()[1:]]
    usage = {
        "total": _number(read, "cpuacct", "cpuacct.usage"),
        "percpu": [int(one) for one in (read("cpuacct", "cpuacct.usage_percpu") or "").split()],
        "percpu_kernel": [int(one[2]) for one in columns],
        "percpu_user": [int(one[1]) for one in columns],
        "kernel": _number(read, "cpuacct", "cpuacct.usage_sys"),
        "user": _number(read, "cpuacct", "cpuacct.usage_user"),
    }
    stat = pairs(read("cpu", "cpu.stat"))
    return {"usage": usage, "throttling": _throttling(stat, stat.get("throttled_time", 0))}


def _cpu_v2(read: Read) -> dict[str, Any]:
    stat = pairs(read("cpuacct", "cpu.stat"))
    times = (("total", "usage_usec"), ("kernel", "system_usec"), ("user", "user_usec"))
    usage = {key: stat.get(name, 0) * 1000 for key, name in times}
    return {
        "usage": usage,
        "throttling": _throttling(stat, stat.get("throttled_usec", 0) * 1000),
        **_pressure(read, "cpuacct", "cpu.pressure"),
    }


def _throttling(stat: dict[str, int], throttled_ns: int) -> dict[str, int]:
    return {
        "periods": stat.get("nr_periods", 0),
        "throttledPeriods": stat.get("nr_throttled", 0),
        "throttledTime": throttled_ns,
    }


def _pressure(read: Read, controller: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in (read(controller, name) or "").splitlines():
        kind, *fields = line.split()
        values = dict(field.split("=", 1) for field in fields)
        found[kind] = {
            key: int(value) if key == "total" else float(value)
            for key, value in values.items()
            if key in ("avg10", "avg60", "avg300", "total")
        }
    return {"psi": found} if found else {}


def _cpuset(read: Read) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: numbers(read("cpuset", f"cpuset.{key}") or read("cpuset", f"cpuset.{key}.effective") or "")
        for key in ("cpus", "mems")
    }
    return found | {name: _number(read, "cpuset", f"cpuset.{name}") for name in _CPUSET_FLAGS}


def numbers(text: str) -> list[int]:
    """ "0-2,7" as numbers."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first:
            found += range(int(first), int(last or first) + 1)
    return found


def _memory_v1(read: Read) -> dict[str, Any]:
    raw = pairs(read("memory", "memory.stat"))
    entries = (("usage", ""), ("swap", "memsw."), ("kernel", "kmem."), ("kernelTCP", "kmem.tcp."))
    found: dict[str, Any] = {key: _entry_v1(read, "memory", f"memory.{part}") for key, part in entries}
    return {"cache": raw.get("cache", 0), **found, "raw": raw}


def _entry_v1(read: Read, controller: str, prefix: str) -> dict[str, int]:
    names = {
        "limit": "limit_in_bytes",
        "usage": "usage_in_bytes",
        "max": "max_usage_in_bytes",
        "failcnt": "failcnt",
    }
    return {key: _number(read, controller, f"{prefix}{name}") for key, name in names.items()}


def _memory_v2(read: Read) -> dict[str, Any]:
    raw = pairs(read("memory", "memory.stat"))
    usage = {
        "limit": _limit(read, "memory", "memory.max"),
        "usage": _number(read, "memory", "memory.current"),
        "max": _number(read, "memory", "memory.peak"),
        "failcnt": pairs(read("memory", "memory.events")).get("max", 0),
    }
    limit = _limit(read, "memory", "memory.swap.max")
    both = limit + usage["limit"] if _NO_LIMIT not in (limit, usage["limit"]) else _NO_LIMIT
    swap = {
        "limit": both,
        "usage": _number(read, "memory", "memory.swap.current") + usage["usage"],
        "max": _number(read, "memory", "memory.swap.peak"),
        "failcnt": pairs(read("memory", "memory.swap.events")).get("fail", 0),
    }
    return {
        "cache": raw.get("file", 0),
        "usage": usage,
        "swap": swap,
        "kernel": {"limit": 0, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": raw,
        **_pressure(read, "memory", "memory.pressure"),
    }


def _hugetlb_v1(read: Read, size: str) -> dict[str, int]:
    entry = _entry_v1(read, "hugetlb", f"hugetlb.{size}.")
    del entry["limit"]
    return entry


def _hugetlb_v2(read: Read, size: str) -> dict[str, int]:
    events = pairs(read("hugetlb", f"hugetlb.{size}.events"))
    return {"usage": _number(read, "hugetlb", f"hugetlb.{size}.current"), "failcnt": events.get("max", 0)}


def _io_v1(read: Read) -> dict[str, Any]:
    names = (("ioServiceBytesRecursive", "io_service_bytes"), ("ioServicedRecursive", "io_serviced"))
    return {key: entries for key, name in names if (entries := _entries_v1(read, name))}


def _entries_v1(read: Read, name: str) -> list[dict[str, Any]]:
    for file in (f"blkio.bfq.{name}_recursive", f"blkio.throttle.{name}_recursive", f"blkio.throttle.{name}"):
        found = []
        for line in (read("blkio", file) or "").splitlines():
            words = line.replace(":", " ").split()
            if len(words) == 4:
                major, minor, operation, value = words
                found.append(_io_entry(major, minor, operation, value))
        if found:
            return found
    return []


def _io_v2(read: Read) -> dict[str, Any]:
    sizes, counts = [], []
    for line in (read("io", "io.stat") or "").splitlines():
        numbers_, *fields = line.split()
        major, _, minor = numbers_.partition(":")
        values = dict(field.split("=", 1) for field in fields if "=" in field)
        for operation, letter in (("Read", "r"), ("Write", "w")):
            sizes.append(_io_entry(major, minor, operation, values.get(f"{letter}bytes", "0")))
            counts.append(_io_entry(major, minor, operation, values.get(f"{letter}ios", "0")))
    found = {"ioServiceBytesRecursive": sizes, "ioServicedRecursive": counts}
    return {key: entries for key, entries in found.items() if entries} | _pressure(read, "io", "io.pressure")


def _io_entry(major: str, minor: str, operation: str, value: str) -> dict[str, Any]:
    return {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}
