"""Counters of one cgroup, version 1 and 2, read in one pass (the CRI's ContainerStats and KEP-2371's table).

Reading a file costs about 20 us, a whole Stats about 0.5 ms on version 1 (17 files): no descriptors are kept,
many containers are read in a thread. A cgroup that goes away while it is read gives None, not an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from host.cgroup_limits import V1_NO_LIMIT, Directory, read_number, read_text


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """CPU time and throttling since the cgroup was made; ``None`` where the kernel does not count it."""

    usage_ns: int
    user_ns: int | None = None
    system_ns: int | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Bytes, but for the fault counters. ``limit_bytes`` None is unlimited; swap None is not accounted.

    ``own_page_faults``, all and major ones, leave out cgroups below; version 2 does not count so.
    """

    usage_bytes: int
    working_set_bytes: int
    rss_bytes: int
    page_faults: int
    major_page_faults: int
    own_page_faults: tuple[int, int] | None = None
    cache_bytes: int = 0
    mapped_file_bytes: int = 0
    kernel_bytes: int | None = None
    max_usage_bytes: int | None = None
    limit_hits: int | None = None
    limit_bytes: int | None = None
    swap_bytes: int | None = None
    swap_limit_bytes: int | None = None

    @property
    def available_bytes(self) -> int | None:
        """What the limit leaves beside the working set; None when there is no limit."""
        return None if self.limit_bytes is None else max(0, self.limit_bytes - self.working_set_bytes)


@dataclass(frozen=True, slots=True)
class Pressure:
    """One line of a PSI file: averages in percent, total in microseconds."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pids:
    """``limit`` None is unlimited."""

    current: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything at one moment; None for controllers that do not count or a cgroup that is gone.

    ``pressure`` maps ("cpu" | "memory" | "io", "some" | "full") and is empty on version 1.
    ``hugepage_bytes`` maps a page size ("2MB") to (current, highest or None).
    """

    cpu: CpuUsage | None = None
    memory: MemoryUsage | None = None
    pids: Pids | None = None
    hugepage_bytes: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    pressure: Mapping[tuple[str, str], Pressure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OomSource:
    """How to learn of OOM kills: inotify IN_MODIFY on ``file`` (v2) or an eventfd bound to it (v1).

    Version 1: write "<eventfd> <fd of file>" to ``control`` (cgroup.event_control).
    """

    file: Path
    control: Path | None = None


def read(directory: Directory, version: int) -> Stats:
    """All counters; see Stats."""
    current = pids_current(directory)
    where = directory("pids")
    return Stats(
        cpu=cpu(directory, version),
        memory=memory(directory, version),
        pids=None if current is None or where is None else Pids(current, read_number(where / "pids.max")),
        hugepage_bytes=_hugepages(directory, version),
        pressure=_pressure(directory) if version == 2 else {},
    )


def usage(directory: Directory, version: int) -> Stats:
    """What the CRI reports, by a third of the files: CPU time, memory without its peaks, and pressure."""
    where = directory("memory")
    used_ns = cpu_usage_ns(directory, version)
    memory_of = _memory_v2 if version == 2 else _memory_v1
    return Stats(
        cpu=None if used_ns is None else CpuUsage(used_ns),
        memory=None if where is None else memory_of(where, whole=False),
        pressure=_pressure(directory) if version == 2 else {},
    )


def cpu_usage_ns(directory: Directory, version: int) -> int | None:
    """Only the CPU time: the cheapest question."""
    if version == 2:
        usage = cpu(directory, version)
        return None if usage is None else usage.usage_ns
    where = directory("cpuacct")
    return None if where is None else read_number(where / "cpuacct.usage")


def cpu(directory: Directory, version: int) -> CpuUsage | None:
    """CPU time and throttling."""
    return _cpu_v2(directory) if version == 2 else _cpu_v1(directory)


def _cpu_v1(directory: Directory) -> CpuUsage | None:
    account, bandwidth = directory("cpuacct"), directory("cpu")
    usage = None if account is None else read_number(account / "cpuacct.usage")
    if account is None or usage is None:
        return None
    stat = _pairs(bandwidth / "cpu.stat") if bandwidth is not None else {}
    return CpuUsage(
        usage,
        user_ns=read_number(account / "cpuacct.usage_user"),
        system_ns=read_number(account / "cpuacct.usage_sys"),
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        throttled_ns=stat.get("throttled_time"),
    )


def _cpu_v2(directory: Directory) -> CpuUsage | None:
    where = directory("unified")  # cpu.stat's times exist even without the cpu controller
    stat = _pairs(where / "cpu.stat") if where is not None else {}
    if "usage_usec" not in stat:
        return None
    return CpuUsage(
        stat["usage_usec"] * 1000,
        user_ns=_times_1000(stat.get("user_usec")),
        system_ns=_times_1000(stat.get("system_usec")),
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        throttled_ns=_times_1000(stat.get("throttled_usec")),
    )


def memory(directory: Directory, version: int) -> MemoryUsage | None:
    """Memory; the working set is usage without inactive file cache, which is what eviction looks at."""
    where = directory("memory")
    if where is None:
        return None
    return _memory_v2(where) if version == 2 else _memory_v1(where)


def _memory_v1(where: Path, *, whole: bool = True) -> MemoryUsage | None:
    usage = read_number(where / "memory.usage_in_bytes")
    stat = _pairs(where / "memory.stat")
    if usage is None or not stat:
        return None
    both = read_number(where / "memory.memsw.usage_in_bytes")
    limit = _v1_limit(where / "memory.limit_in_bytes")
    both_limit = _v1_limit(where / "memory.memsw.limit_in_bytes")
    return MemoryUsage(
        usage_bytes=usage,
        working_set_bytes=max(0, usage - stat.get("total_inactive_file", 0)),
        rss_bytes=stat.get("total_rss", 0),
        page_faults=stat.get("total_pgfault", 0),
        major_page_faults=stat.get("total_pgmajfault", 0),
        own_page_faults=(stat.get("pgfault", 0), stat.get("pgmajfault", 0)) if whole else None,
        cache_bytes=stat.get("total_cache", 0),
        mapped_file_bytes=stat.get("total_mapped_file", 0),
        kernel_bytes=read_number(where / "memory.kmem.usage_in_bytes") if whole else None,
        max_usage_bytes=read_number(where / "memory.max_usage_in_bytes") if whole else None,
        limit_hits=read_number(where / "memory.failcnt") if whole else None,
        limit_bytes=limit,
        swap_bytes=None if both is None else max(0, both - usage),
        swap_limit_bytes=None if both_limit is None or limit is None else max(0, both_limit - limit),
    )


def _memory_v2(where: Path, *, whole: bool = True) -> MemoryUsage | None:
    usage = read_number(where / "memory.current")
    stat = _pairs(where / "memory.stat")
    if usage is None or not stat:
        return None
    return MemoryUsage(
        usage_bytes=usage,
        working_set_bytes=max(0, usage - stat.get("inactive_file", 0)),
        rss_bytes=stat.get("anon", 0),
        page_faults=stat.get("pgfault", 0),
        major_page_faults=stat.get("pgmajfault", 0),
        cache_bytes=stat.get("file", 0),
        mapped_file_bytes=stat.get("file_mapped", 0),
        kernel_bytes=stat.get("kernel"),
        max_usage_bytes=read_number(where / "memory.peak") if whole else None,
        limit_hits=_pairs(where / "memory.events").get("max") if whole else None,
        limit_bytes=read_number(where / "memory.max"),
        swap_bytes=read_number(where / "memory.swap.current"),
        swap_limit_bytes=read_number(where / "memory.swap.max"),
    )


def pids_current(directory: Directory) -> int | None:
    """Threads and processes; the same file in both versions."""
    where = directory("pids")
    return None if where is None else read_number(where / "pids.current")


def oom_source(directory: Directory, version: int) -> OomSource | None:
    """Which file to watch; None without a memory controller."""
    where = directory("memory")
    if where is None:
        return None
    if version == 2:
        return OomSource(where / "memory.events")
    return OomSource(where / "memory.oom_control", where / "cgroup.event_control")


def oom_kills(directory: Directory, version: int) -> int | None:
    """The kernel's own counter, so that a kill is known even if nobody watched."""
    source = oom_source(directory, version)
    return None if source is None else _pairs(source.file).get("oom_kill")


def _hugepages(directory: Directory, version: int) -> dict[str, tuple[int, int | None]]:
    where = directory("hugetlb")
    if where is None or not where.is_dir():
        return {}
    suffix, peak = (".current", None) if version == 2 else (".usage_in_bytes", ".max_usage_in_bytes")
    found: dict[str, tuple[int, int | None]] = {}
    for file in where.glob(f"hugetlb.*{suffix}"):
        size = file.name.removeprefix("hugetlb.").removesuffix(suffix)
        value = read_number(file)
        if "." not in size and value is not None:  # "2MB.rsvd" is a counter of its own
            found[size] = (value, read_number(where / f"hugetlb.{size}{peak}") if peak else None)
    return found


def _pressure(directory: Directory) -> dict[tuple[str, str], Pressure]:
    where = directory("unified")
    found: dict[tuple[str, str], Pressure] = {}
    for what in ("cpu", "memory", "io"):
        text = read_text(where / f"{what}.pressure") if where is not None else None
        for line in (text or "").splitlines():
            kind, *fields = line.split()
            value = dict(one.split("=", 1) for one in fields)
            ten, sixty, three_hundred = (float(value[name]) for name in ("avg10", "avg60", "avg300"))
            found[what, kind] = Pressure(ten, sixty, three_hundred, int(value["total"]))
    return found


def _pairs(file: Path) -> dict[str, int]:
    """A flat-keyed file ("name number" lines); empty when it cannot be read."""
    pairs: dict[str, int] = {}
    for line in (read_text(file) or "").splitlines():
        name, _, number = line.partition(" ")
        if number.isdigit():
            pairs[name] = int(number)
    return pairs


def _v1_limit(file: Path) -> int | None:
    value = read_number(file)
    return None if value is None or value >= V1_NO_LIMIT else value


def _times_1000(value: int | None) -> int | None:
    return None if value is None else value * 1000
