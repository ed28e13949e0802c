"""The metrics of pods and containers by CRI: cAdvisor's names, in the groups of ``included_pod_metrics``.

The labels of each are LABELS and then its own, in this order. What they mean is what cAdvisor means by them
(KEP-2371), with one limit: values are whole numbers, so that seconds are cut.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from api.runtime.v1 import api_pb2 as pb
from conf.check import ALL_POD_METRICS

LABELS = ("id", "image", "namespace", "pod", "container")
ALWAYS = ""  # the group that cannot be left out
_PREFIX = "container_"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; ``labels`` are those beside LABELS."""

    name: str
    group: str
    kind: pb.MetricType.ValueType
    help: str
    labels: tuple[str, ...] = ()

    def descriptor(self) -> pb.MetricDescriptor:
        return pb.MetricDescriptor(name=self.name, help=self.help, label_keys=(*LABELS, *self.labels))


def _counter(group: str, name: str, text: str, *labels: str) -> Family:
    return Family(_PREFIX + name, group, pb.COUNTER, text, labels)


def _gauge(group: str, name: str, text: str, *labels: str) -> Family:
    return Family(_PREFIX + name, group, pb.GAUGE, text, labels)


def _network() -> Iterator[Family]:
    for way, direction in (("receive", "received"), ("transmit", "transmitted")):
        for what, text in (
            ("bytes", f"Bytes {direction}"),
            ("packets", f"Packets {direction}"),
            ("packets_dropped", f"Packets dropped that were to be {direction}"),
            ("errors", f"Errors while packets were {direction}"),
        ):
            yield _counter("network", f"network_{way}_{what}_total", f"{text}.", "interface")


def _pressure() -> Iterator[Family]:
    for resource in ("cpu", "memory", "io"):
        for what, tasks in (("waiting", "some tasks"), ("stalled", "all tasks")):
            text = f"Seconds during which {tasks} waited for {resource}."
            yield _counter("pressure", f"pressure_{resource}_{what}_seconds_total", text)


FAMILIES: tuple[Family, ...] = (
    _gauge(ALWAYS, "last_seen", "When the container was last seen, in seconds since the epoch."),
    _counter("cpu", "cpu_user_seconds_total", "CPU time in user mode, in seconds."),
    _counter("cpu", "cpu_system_seconds_total", "CPU time in the kernel, in seconds."),
    _counter("cpu", "cpu_usage_seconds_total", "CPU time, in seconds.", "cpu"),
    _counter("cpu", "cpu_cfs_periods_total", "Periods of the CPU quota in which something ran."),
    _counter("cpu", "cpu_cfs_throttled_periods_total", "Periods in which the CPU quota was used up."),
    _counter("cpu", "cpu_cfs_throttled_seconds_total", "Time for which the CPU quota held it, in seconds."),
    _gauge("disk", "fs_inodes_free", "Free inodes of the file system of the writable layer."),
    _gauge("disk", "fs_inodes_total", "Inodes of the file system of the writable layer."),
    _gauge("disk", "fs_limit_bytes", "Size of the file system of the writable layer, in bytes."),
    _gauge("disk", "fs_usage_bytes", "What the container has written into its root file system, in bytes."),
    _counter("diskIO", "fs_reads_bytes_total", "Bytes read from block devices.", "device"),
    _counter("diskIO", "fs_reads_total", "Reads from block devices.", "device"),
    _counter("diskIO", "fs_writes_bytes_total", "Bytes written to block devices.", "device"),
    _counter("diskIO", "fs_writes_total", "Writes to block devices.", "device"),
    _counter(
        "diskIO",
        "blkio_device_usage_total",
        "Bytes moved from and to block devices, by operation.",
        "device",
        "major",
        "minor",
        "operation",
    ),
    _gauge("hugetlb", "hugetlb_usage_bytes", "Huge pages in use, in bytes.", "pagesize"),
    _gauge("hugetlb", "hugetlb_max_usage_bytes", "The most huge pages ever used, in bytes.", "pagesize"),
    _gauge("memory", "memory_cache", "Page cache, in bytes."),
    _gauge("memory", "memory_rss", "Anonymous memory and swap cache, in bytes."),
    _gauge("memory", "memory_kernel_usage", "Kernel memory, in bytes."),
    _gauge("memory", "memory_mapped_file", "Mapped files, in bytes."),
    _gauge("memory", "memory_swap", "Swap, in bytes."),
    _counter("memory", "memory_failcnt", "How often the memory limit was hit."),
    _gauge("memory", "memory_usage_bytes", "Memory, page cache included, in bytes."),
    _gauge("memory", "memory_max_usage_bytes", "The most memory ever used, in bytes."),
    _gauge(
        "memory",
        "memory_working_set_bytes",
        "Memory without inactive page cache, by which the kubelet evicts, in bytes.",
    ),
    _counter("memory", "memory_failures_total", "Page faults.", "failure_type", "scope"),
    *_network(),
    _counter("oom", "oom_events_total", "Processes that the kernel ended for want of memory."),
    _gauge("process", "file_descriptors", "Open file descriptors of all processes."),
    _gauge("process", "sockets", "Open sockets of all processes."),
    _gauge("process", "processes", "Processes."),
    _gauge("process", "threads", "Threads of all processes."),
    _gauge("process", "threads_max", "The most threads that are allowed; none where there is no limit."),
    _gauge("process", "ulimits_soft", "Soft limits of the first process; none where unlimited.", "ulimit"),
    _gauge("spec", "spec_cpu_period", "Period of the CPU quota, in microseconds."),
    _gauge("spec", "spec_cpu_shares", "CPU shares."),
    _gauge("spec", "spec_cpu_quota", "CPU quota of a period, in microseconds."),
    _gauge("spec", "spec_memory_limit_bytes", "Memory limit, in bytes; 0 is none."),
    _gauge("spec", "spec_memory_swap_limit_bytes", "Limit of memory and swap, in bytes; 0 is none."),
    _gauge("spec", "spec_memory_reservation_limit_bytes", "Protected memory, in bytes; 0 is none."),
    _gauge("spec", "start_time_seconds", "When the container was made, in seconds since the epoch."),
    *_pressure(),
)
BY_NAME = {family.name.removeprefix(_PREFIX): family for family in FAMILIES}
GROUPS = frozenset(family.group for family in FAMILIES)


def chosen(included: Collection[str]) -> frozenset[str]:
    """The groups to report for what ``included_pod_metrics`` names."""
    return GROUPS if ALL_POD_METRICS in included else frozenset((ALWAYS, *included)) & GROUPS


def descriptors(groups: Collection[str]) -> list[pb.MetricDescriptor]:
    """Of every family in ``groups``: what is not described is dropped by the kubelet."""
    return [family.descriptor() for family in FAMILIES if family.group in groups]
