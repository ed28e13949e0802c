"""Resources for version 1 (kernel admin-guide, cgroup-v1), in the order in which its checks let them pass."""

from collections.abc import Mapping
from typing import Any

from oci.run.cgroups.plan import (
    Read,
    Section,
    Write,
    as_number,
    cpuset,
    device,
    number,
    page_size,
    pids,
    rdma,
    set_number,
    table,
    tables,
    text,
)
from oci.run.cgroups.types import BadResources, Resources

UNLIMITED = -1
_SWAPPINESS = 100


def cpu(resources: Resources, read: Read) -> list[Write]:
    asked = table(resources, "cpu")
    # Before a process that is not of their class can be in it.
    names = (("cpu.rt_period_us", "realtimePeriod"), ("cpu.rt_runtime_us", "realtimeRuntime"))
    writes = [Write("cpu", name, str(value)) for name, key in names if (value := set_number(asked, key))]
    if shares := set_number(asked, "shares"):
        writes.append(Write("cpu", "cpu.shares", str(shares)))
    writes += _bandwidth(asked, read)
    if (idle := number(asked, "idle")) is not None:
        writes.append(Write("cpu", "cpu.idle", str(idle)))
    return writes


def _bandwidth(asked: Mapping[str, Any], read: Read) -> list[Write]:
    """Each write is checked with what the other file has by then, against the parent's share: the
    longer period first, the shorter one last; a burst never beyond the quota."""
    period, quota = set_number(asked, "period"), set_number(asked, "quota")
    writes = [Write("cpu", "cpu.cfs_period_us", str(period))] if period is not None else []
    if quota is not None:
        now = as_number(read("cpu", "cpu.cfs_period_us")) if period is not None else None
        shorter = period is not None and now is not None and period < now
        writes.insert(0 if shorter else len(writes), Write("cpu", "cpu.cfs_quota_us", str(quota)))
    if (burst := number(asked, "burst")) is not None:
        write = Write("cpu", "cpu.cfs_burst_us", str(burst), missing_ok=True)
        before = quota is not None and 0 < quota < (as_number(read("cpu", "cpu.cfs_burst_us")) or 0)
        writes = [write, *writes] if before else [*writes, write]
    return writes


def memory(resources: Resources, read: Read) -> list[Write]:
    asked = table(resources, "memory")
    writes = _memory_and_swap(set_number(asked, "limit"), set_number(asked, "swap"), read)
    if reservation := set_number(asked, "reservation"):
        writes.append(Write("memory", "memory.soft_limit_in_bytes", str(reservation)))
    if tcp := set_number(asked, "kernelTCP"):
        writes.append(Write("memory", "memory.kmem.tcp.limit_in_bytes", str(tcp), missing_ok=True))
    if asked.get("disableOOMKiller") is True:
        writes.append(Write("memory", "memory.oom_control", "1"))
    if (swappiness := number(asked, "swappiness")) is not None:
        if not 0 <= swappiness <= _SWAPPINESS:
            raise BadResources(f"linux.resources: swappiness is {swappiness}, not 0 to {_SWAPPINESS}")
        writes.append(Write("memory", "memory.swappiness", str(swappiness)))
    return writes


def _memory_and_swap(limit: int | None, swap: int | None, read: Read) -> list[Write]:
    """The limit may never pass that of memory and swap together: grow the outer one first."""
    if limit == UNLIMITED and swap is None and read("memory", "memory.memsw.limit_in_bytes") is not None:
        swap = UNLIMITED
    inner = Write("memory", "memory.limit_in_bytes", str(limit))
    # Without swap accounting there is nothing to lift, and no swap to keep it from.
    outer = Write("memory", "memory.memsw.limit_in_bytes", str(swap), missing_ok=swap in (UNLIMITED, limit))
    if limit is None:
        return [] if swap is None else [outer]
    if swap is None:
        return [inner]
    now = as_number(read("memory", "memory.limit_in_bytes"))
    grows = swap == UNLIMITED or (now is not None and now < swap)
    return [outer, inner] if grows else [inner, outer]


def blkio(resources: Resources, read: Read) -> list[Write]:
    asked = table(resources, "blockIO")
    prefix = "blkio" if read("blkio", "blkio.weight") is not None else "blkio.bfq"
    writes = []
    if weight := set_number(asked, "weight"):
        writes.append(Write("blkio", f"{prefix}.weight", str(weight)))
    if leaf := set_number(asked, "leafWeight"):
        writes.append(Write("blkio", "blkio.leaf_weight", str(leaf)))
    for entry in tables(asked, "weightDevice"):
        names = ((f"{prefix}.weight_device", "weight"), ("blkio.leaf_weight_device", "leafWeight"))
        writes += [_of_device(name, entry, value) for name, key in names if (value := set_number(entry, key))]
    for key, name in _THROTTLES:
        for entry in tables(asked, f"throttle{key}Device"):
            writes.append(_of_device(f"blkio.throttle.{name}_device", entry, number(entry, "rate") or 0))
    return writes


_THROTTLES = (
    ("ReadBps", "read_bps"),
    ("WriteBps", "write_bps"),
    ("ReadIOPS", "read_iops"),
    ("WriteIOPS", "write_iops"),
)


def _of_device(name: str, entry: Mapping[str, Any], value: int) -> Write:
    which = device(entry)
    return Write("blkio", name, f"{which} {value}", key=which, absent="0")


def hugetlb(resources: Resources, _: Read) -> list[Write]:
    writes = []
    for entry in tables(resources, "hugepageLimits"):
        size, limit = page_size(entry), str(number(entry, "limit") or 0)
        writes.append(Write("hugetlb", f"hugetlb.{size}.limit_in_bytes", limit))
        writes.append(Write("hugetlb", f"hugetlb.{size}.rsvd.limit_in_bytes", limit, missing_ok=True))
    return writes


def net_cls(resources: Resources, _: Read) -> list[Write]:
    class_id = set_number(table(resources, "network"), "classID")
    return [Write("net_cls", "net_cls.classid", str(class_id))] if class_id else []


def net_prio(resources: Resources, _: Read) -> list[Write]:
    writes = []
    for entry in tables(table(resources, "network"), "priorities"):
        name, priority = text(entry, "name"), number(entry, "priority") or 0
        if name is None or any(letter.isspace() for letter in name):
            raise BadResources(f"linux.resources: {entry.get('name')!r} is not the name of an interface")
        writes.append(Write("net_prio", "net_prio.ifpriomap", f"{name} {priority}", key=name, absent="0"))
    return writes


# By the controller of version 1; cpusets first, for they decide whether a process can be in the cgroup.
SECTIONS: Mapping[str, Section] = {
    "cpuset": cpuset,
    "cpu": cpu,
    "memory": memory,
    "pids": pids,
    "blkio": blkio,
    "hugetlb": hugetlb,
    "net_cls": net_cls,
    "net_prio": net_prio,
    "rdma": rdma,
}
