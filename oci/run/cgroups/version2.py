"""Resources for version 2 (kernel admin-guide, cgroup-v2): version 1's values, which the specification
keeps, in the units of version 2; and ``unified``, which is files by name."""

from collections.abc import Callable, Mapping
from typing import Any

from host.cgroup_limits import weight_from_shares
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
)
from oci.run.cgroups.types import BadResources, Resources

UNLIMITED = -1
DEFAULT_PERIOD_US = 100_000


def cpu(resources: Resources, read: Read) -> list[Write]:
    asked = table(resources, "cpu")
    for key in ("realtimeRuntime", "realtimePeriod"):
        if set_number(asked, key):
            raise BadResources(f"linux.resources: cpu.{key} needs cgroup version 1; this machine has 2")
    writes = []
    if (idle := number(asked, "idle")) is not None:
        writes.append(Write("cpu", "cpu.idle", str(idle)))
    if shares := set_number(asked, "shares"):
        writes.append(Write("cpu", "cpu.weight", str(weight_from_shares(shares))))
    return writes + _bandwidth(asked, read)


def _bandwidth(asked: Mapping[str, Any], read: Read) -> list[Write]:
    """Of quota and period, the one that is not asked for stays; a burst is never beyond the quota."""
    quota, period, burst = set_number(asked, "quota"), set_number(asked, "period"), number(asked, "burst")
    writes = []
    if quota or period:
        now = (read("cpu", "cpu.max") or f"max {DEFAULT_PERIOD_US}").split()
        first = now[0] if quota is None else "max" if quota < 0 else str(quota)
        writes.append(Write("cpu", "cpu.max", f"{first} {period or now[-1]}"))
    if burst is not None:
        write = Write("cpu", "cpu.max.burst", str(burst), missing_ok=True)
        before = quota is not None and 0 < quota < (as_number(read("cpu", "cpu.max.burst")) or 0)
        writes = [write, *writes] if before else [*writes, write]
    return writes


def memory(resources: Resources, read: Read) -> list[Write]:
    asked = table(resources, "memory")
    limit, swap = set_number(asked, "limit"), set_number(asked, "swap")
    if asked.get("disableOOMKiller") is True:
        raise BadResources("linux.resources: memory.disableOOMKiller needs cgroup version 1; here is 2")
    if asked.get("checkBeforeUpdate") is True and limit is not None:
        _check(limit, read)
    writes = []
    if (value := _swap(limit, swap, read)) is not None:
        missing_ok = value in ("0", "max")  # without swap accounting there is nothing to limit
        writes.append(Write("memory", "memory.swap.max", value, missing_ok=missing_ok))
    if limit is not None:
        writes.append(Write("memory", "memory.max", _or_max(limit)))
    if reservation := set_number(asked, "reservation"):
        writes.append(Write("memory", "memory.low", _or_max(reservation)))
    return writes


def _check(limit: int, read: Read) -> None:
    """Version 2 would rather kill than refuse."""
    usage = as_number(read("memory", "memory.current"))
    if usage is not None and 0 <= limit < usage:
        raise BadResources(f"linux.resources: memory limit {limit} is below the usage, {usage}")


def _swap(limit: int | None, swap: int | None, read: Read) -> str | None:
    """Swap alone, where the specification counts it with memory; None leaves it as it is."""
    if swap is None:
        return "max" if limit == UNLIMITED else None
    if swap == UNLIMITED:
        return "max"
    memory = as_number(read("memory", "memory.max")) if limit is None else limit
    if memory is None:
        raise BadResources("linux.resources: memory.swap counts memory, too, and memory has no limit")
    if memory == UNLIMITED:
        return _or_max(swap)
    if swap < memory:
        raise BadResources(f"linux.resources: memory.swap, {swap}, counts memory, too, and is below {memory}")
    return str(swap - memory)


def io(resources: Resources, read: Read) -> list[Write]:
    asked = table(resources, "blockIO")
    writes = []
    if weight := set_number(asked, "weight"):
        if read("io", "io.bfq.weight") is not None:
            writes.append(Write("io", "io.bfq.weight", str(weight)))
        else:
            writes.append(Write("io", "io.weight", str(1 + (weight - 10) * 9999 // 990)))
    for entry in tables(asked, "weightDevice"):
        if weight := set_number(entry, "weight"):
            which = device(entry)
            writes.append(Write("io", "io.bfq.weight", f"{which} {weight}", key=which, absent="default"))
    for key, name in _THROTTLES:
        for entry in tables(asked, f"throttle{key}Device"):
            which, rate = device(entry), number(entry, "rate") or "max"
            nothing = "rbps=max wbps=max riops=max wiops=max"
            writes.append(Write("io", "io.max", f"{which} {name}={rate}", key=which, absent=nothing))
    return writes


_THROTTLES = (("ReadBps", "rbps"), ("WriteBps", "wbps"), ("ReadIOPS", "riops"), ("WriteIOPS", "wiops"))


def hugetlb(resources: Resources, _: Read) -> list[Write]:
    writes = []
    for entry in tables(resources, "hugepageLimits"):
        size, limit = page_size(entry), str(number(entry, "limit") or 0)
        writes.append(Write("hugetlb", f"hugetlb.{size}.max", limit))
        writes.append(Write("hugetlb", f"hugetlb.{size}.rsvd.max", limit, missing_ok=True))
    return writes


def net_cls(resources: Resources, _: Read) -> list[Write]:
    asked = table(resources, "network")
    if set_number(asked, "classID") or tables(asked, "priorities"):
        raise BadResources("linux.resources: network needs cgroup version 1; this machine has 2")
    return []


def net_prio(_: Resources, __: Read) -> list[Write]:
    return []  # see net_cls


def unified(resources: Resources, version_of: Callable[[str], int]) -> list[Write]:
    """Last, for it has the last word."""
    writes = []
    for name, value in table(resources, "unified").items():
        if not isinstance(value, str) or "/" in name or name.startswith("."):
            raise BadResources(f"linux.resources: unified {name!r} is {value!r}, not a file and its text")
        controller = name.split(".", 1)[0]
        if version_of(controller) != 2:
            raise BadResources(
                f"linux.resources: unified {name!r} needs cgroup version 2; this machine has 1"
            )
        writes.append(Write("unified" if controller == "cgroup" else controller, name, value.rstrip("\n")))
    return writes


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


# By the controller of version 1; its own is what the writes name.
SECTIONS: Mapping[str, Section] = {
    "cpuset": cpuset,
    "cpu": cpu,
    "memory": memory,
    "pids": pids,
    "blkio": io,
    "hugetlb": hugetlb,
    "net_cls": net_cls,
    "net_prio": net_prio,
    "rdma": rdma,
}
