"""Values of the metrics of families.py, out of what the kernel counts: pure, one function a group.

A sample is a family's name without its prefix, the values of its own labels, and the value.
"""

from collections.abc import Iterable, Iterator, Sequence

from api.runtime.v1 import api_pb2 as pb
from host.cgroup_io import DeviceIo
from host.cgroup_stats import Stats
from host.net_counters import InterfaceCounters
from host.process_counts import OpenFiles

Sample = tuple[str, tuple[str, ...], int]

_NS = 1_000_000_000
_US = 1_000_000
_NO_LIMIT = 1 << 62  # from here on a limit is the kernel's word for none
_SCOPES = ("container", "hierarchy")


def cpu(stats: Stats) -> Iterator[Sample]:
    """Nothing of a cgroup that is not counted."""
    used = stats.cpu
    if used is None:
        return
    yield "cpu_user_seconds_total", (), (used.user_ns or 0) // _NS
    yield "cpu_system_seconds_total", (), (used.system_ns or 0) // _NS
    yield "cpu_usage_seconds_total", ("total",), used.usage_ns // _NS
    yield "cpu_cfs_periods_total", (), used.periods or 0
    yield "cpu_cfs_throttled_periods_total", (), used.throttled_periods or 0
    yield "cpu_cfs_throttled_seconds_total", (), (used.throttled_ns or 0) // _NS


def memory(stats: Stats) -> Iterator[Sample]:
    """Nothing of a cgroup that is not counted; 0 for what one version does not count."""
    used = stats.memory
    if used is None:
        return
    yield "memory_cache", (), used.cache_bytes
    yield "memory_rss", (), used.rss_bytes
    yield "memory_kernel_usage", (), used.kernel_bytes or 0
    yield "memory_mapped_file", (), used.mapped_file_bytes
    yield "memory_swap", (), used.swap_bytes or 0
    yield "memory_failcnt", (), used.limit_hits or 0
    yield "memory_usage_bytes", (), used.usage_bytes
    yield "memory_max_usage_bytes", (), used.max_usage_bytes or 0
    yield "memory_working_set_bytes", (), used.working_set_bytes
    everything = (used.page_faults, used.major_page_faults)
    for scope, faults in zip(_SCOPES, (used.own_page_faults or everything, everything), strict=True):
        for kind, count in zip(("pgfault", "pgmajfault"), faults, strict=True):
            yield "memory_failures_total", (kind, scope), count


def hugetlb(stats: Stats) -> Iterator[Sample]:
    for size, (current, highest) in sorted(stats.hugepage_bytes.items()):
        yield "hugetlb_usage_bytes", (size,), current
        yield "hugetlb_max_usage_bytes", (size,), highest or 0


def pressure(stats: Stats) -> Iterator[Sample]:
    """Nothing where the kernel does not count it."""
    for resource in ("cpu", "memory", "io"):
        for what, kind in (("waiting", "some"), ("stalled", "full")):
            line = stats.pressure.get((resource, kind))
            if line is not None:
                yield f"pressure_{resource}_{what}_seconds_total", (), line.total_us // _US


def disk_io(devices: Iterable[DeviceIo]) -> Iterator[Sample]:
    """Nothing before the first input or output."""
    for one in devices:
        label = (one.device,)
        yield "fs_reads_bytes_total", label, one.bytes.get("read", 0)
        yield "fs_reads_total", label, one.operations.get("read", 0)
        yield "fs_writes_bytes_total", label, one.bytes.get("write", 0)
        yield "fs_writes_total", label, one.operations.get("write", 0)
        major, _, minor = one.device.partition(":")
        for operation, count in sorted(one.bytes.items()):
            yield "blkio_device_usage_total", (one.device, major, minor, operation), count


def disk(used_bytes: int | None, size_bytes: int, inodes: int, free_inodes: int) -> Iterator[Sample]:
    """``used_bytes`` is the writable layer's, None when it is not known; the others its file system's."""
    yield "fs_inodes_free", (), free_inodes
    yield "fs_inodes_total", (), inodes
    yield "fs_limit_bytes", (), size_bytes
    if used_bytes is not None:
        yield "fs_usage_bytes", (), used_bytes


def network(interfaces: Sequence[InterfaceCounters]) -> Iterator[Sample]:
    for one in interfaces:
        label = (one.name,)
        yield "network_receive_bytes_total", label, one.rx_bytes
        yield "network_receive_packets_total", label, one.rx_packets
        yield "network_receive_packets_dropped_total", label, one.rx_dropped
        yield "network_receive_errors_total", label, one.rx_errors
        yield "network_transmit_bytes_total", label, one.tx_bytes
        yield "network_transmit_packets_total", label, one.tx_packets
        yield "network_transmit_packets_dropped_total", label, one.tx_dropped
        yield "network_transmit_errors_total", label, one.tx_errors


def oom(kills: int | None) -> Iterator[Sample]:
    yield "oom_events_total", (), kills or 0


def process(stats: Stats, processes: int, files: OpenFiles) -> Iterator[Sample]:
    yield "file_descriptors", (), files.descriptors
    yield "sockets", (), files.sockets
    yield "processes", (), processes
    if stats.pids is not None:
        yield "threads", (), stats.pids.current
        yield "threads_max", (), stats.pids.limit or 0
    if files.soft_limit is not None:
        yield "ulimits_soft", ("max_open_files",), files.soft_limit


def spec(resources: pb.LinuxContainerResources, created_ns: int) -> Iterator[Sample]:
    """Of the resources in force."""
    yield "spec_cpu_period", (), max(0, resources.cpu_period)
    yield "spec_cpu_shares", (), max(0, resources.cpu_shares)
    if resources.cpu_quota > 0:
        yield "spec_cpu_quota", (), resources.cpu_quota
    yield "spec_memory_limit_bytes", (), _limit(resources.memory_limit_in_bytes)
    yield "spec_memory_swap_limit_bytes", (), _limit(resources.memory_swap_limit_in_bytes)
    protected = resources.unified.get("memory.min", "")
    yield "spec_memory_reservation_limit_bytes", (), int(protected) if protected.isdigit() else 0
    yield "start_time_seconds", (), created_ns // _NS


def _limit(value: int) -> int:
    return value if 0 < value < _NO_LIMIT else 0
