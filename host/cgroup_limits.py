"""Writing and reading limits of one cgroup, version 1 and 2 (kernel admin-guide cgroup-v1, cgroup-v2).

Values are the CRI's and the OCI's: shares for CPU weight, memory plus swap for swap.
"""

import errno
import math
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from api.errors import FailedPrecondition, InvalidArgument

Directory = Callable[[str], Path | None]
UNLIMITED = -1
FILE_SIZE = 65536  # more than any cgroup file has; the kernel hands one over in one read
_LEAST_SHARES, _MOST_SHARES = 2, 262144
V1_NO_LIMIT = 1 << 62  # version 1 shows "unlimited" as a page-rounded 2**63


class MissingController(FailedPrecondition):
    """A limit needs a cgroup controller that this host does not offer."""


# What the kernel has against a value, or against a file of that name; ENOSPC is an empty set of processors.
REFUSALS = frozenset(
    {
        errno.EINVAL,
        errno.ERANGE,
        errno.EBUSY,
        errno.EACCES,
        errno.EPERM,
        errno.E2BIG,
        errno.EISDIR,
        errno.EFBIG,
        errno.ENOSPC,
        errno.ENODEV,
        errno.EOPNOTSUPP,
        errno.ENAMETOOLONG,
    }
)


class LimitRefused(InvalidArgument):
    """The kernel refuses the value of a limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What to set; None leaves a limit alone, -1 lifts it. ``memory_swap_bytes`` is memory plus swap.

    ``hugepage_bytes`` by page size as the kernel spells it ("2MB"); ``unified`` is file name to text and
    needs version 2.
    """

    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    pids: int | None = None
    hugepage_bytes: Mapping[str, int] = field(default_factory=dict)
    unified: Mapping[str, str] = field(default_factory=dict)


NOTHING = Limits()


def weight_from_shares(shares: int) -> int:
    """Version 2's cpu.weight (1 to 10000) for version 1's cpu.shares (2 to 262144).

    As runtimes map it since 2025: the least, the default (1024 to 100) and the most are each other's, which
    the straight line before gave 39 for the default.
    """
    if shares <= _LEAST_SHARES:
        return 1
    if shares >= _MOST_SHARES:
        return 10000
    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def shares_from_weight(weight: int) -> int:
    """The least cpu.shares that become this cpu.weight, or the next one that some do."""
    return bisect_left(range(_MOST_SHARES), weight, lo=_LEAST_SHARES, key=weight_from_shares)


def apply(directory: Directory, version: int, limits: Limits) -> None:
    """Write ``limits``.

    Raises:
        MissingController: a limit was asked for whose controller is not there.
        LimitRefused: the kernel says no; the message has file and value.
    """
    if version == 2:
        _apply_v2(directory, limits)
        return
    if limits.unified:
        raise LimitRefused(
            f"unified resources {sorted(limits.unified)} need cgroup version 2; this host has 1"
        )
    _apply_v1(directory, limits)


def _apply_v1(directory: Directory, limits: Limits) -> None:
    _set(directory, "cpu", "cpu.shares", limits.cpu_shares)
    _set_quota_v1(directory, limits)
    _set(directory, "cpuset", "cpuset.cpus", limits.cpuset_cpus)
    _set(directory, "cpuset", "cpuset.mems", limits.cpuset_mems)
    _set_memory_v1(directory, limits)
    _set(directory, "pids", "pids.max", _or_max(limits.pids))
    for size, value in limits.hugepage_bytes.items():
        _set(directory, "hugetlb", f"hugetlb.{size}.limit_in_bytes", value)


def _set_quota_v1(directory: Directory, limits: Limits) -> None:
    """Period and quota check each other against the parent: when one order is refused the other may do."""
    steps = (("cpu.cfs_period_us", limits.cpu_period_us), ("cpu.cfs_quota_us", limits.cpu_quota_us))
    try:
        for name, value in steps:
            _set(directory, "cpu", name, value)
    except LimitRefused:
        for name, value in reversed(steps):
            _set(directory, "cpu", name, value)


def _set_memory_v1(directory: Directory, limits: Limits) -> None:
    """memory.limit may never pass memory.memsw: grow the outer one first, shrink the inner one first."""
    limit, swap = limits.memory_bytes, limits.memory_swap_bytes
    steps = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
    where = directory("memory")
    if where is not None and swap is not None and not (where / steps[1][0]).exists():
        steps.pop()  # no swap accounting in this kernel
    elif where is not None and limit is not None:
        now = read_number(where / "memory.memsw.limit_in_bytes")
        if now is not None and (limit == UNLIMITED or limit > now):
            steps.reverse()
    for name, value in steps:
        _set(directory, "memory", name, value)


def _apply_v2(directory: Directory, limits: Limits) -> None:
    if limits.cpu_shares is not None:
        _set(directory, "cpu", "cpu.weight", weight_from_shares(limits.cpu_shares))
    if limits.cpu_quota_us is not None or limits.cpu_period_us is not None:
        _set(directory, "cpu", "cpu.max", _cpu_max(directory, limits))
    _set(directory, "cpuset", "cpuset.cpus", limits.cpuset_cpus)
    _set(directory, "cpuset", "cpuset.mems", limits.cpuset_mems)
    _set(directory, "memory", "memory.max", _or_max(limits.memory_bytes))
    if limits.memory_swap_bytes is not None:
        _set(directory, "memory", "memory.swap.max", _swap_v2(directory, limits))
    _set(directory, "pids", "pids.max", _or_max(limits.pids))
    for size, value in limits.hugepage_bytes.items():
        _set(directory, "hugetlb", f"hugetlb.{size}.max", _or_max(value))
    for name, text in limits.unified.items():
        _set(directory, name.split(".", 1)[0], _plain_name(name), text)


def _cpu_max(directory: Directory, limits: Limits) -> str:
    """cpu.max holds both numbers: keep the one that is not being set."""
    where = directory("cpu")
    quota, period = "max", "100000"
    if where is not None:
        now = (read_text(where / "cpu.max") or "max 100000").split()
        quota, period = now[0], now[1]
    if limits.cpu_quota_us is not None:
        quota = "max" if limits.cpu_quota_us <= 0 else str(limits.cpu_quota_us)
    if limits.cpu_period_us:
        period = str(limits.cpu_period_us)
    return f"{quota} {period}"


def _swap_v2(directory: Directory, limits: Limits) -> str | int:
    """Version 2 counts swap alone; the request counts memory plus swap, the memory as it is by now."""
    if limits.memory_swap_bytes is None or limits.memory_swap_bytes < 0:
        return "max"
    memory = limits.memory_bytes
    if memory is None:
        memory = _number(directory("memory"), "memory.max")
    return max(0, limits.memory_swap_bytes - max(0, memory or 0))


def _or_max(value: int | None) -> str | int | None:
    return "max" if value is not None and value < 0 else value


def _plain_name(name: str) -> str:
    if "/" in name or name.startswith("."):
        raise LimitRefused(f"unified resource {name!r} is not the name of a cgroup file")
    return name


def _set(directory: Directory, controller: str, name: str, value: int | str | None) -> None:
    if value is None:
        return
    where = directory(controller)
    if where is None:
        raise MissingController(
            f"{name} = {value} needs the cgroup controller {controller!r}, which is not mounted"
        )
    try:
        (where / name).write_text(str(value))
    except FileNotFoundError:
        raise MissingController(f"{name} = {value}: {where / name} does not exist") from None
    except OSError as error:
        if error.errno in REFUSALS:
            raise LimitRefused(f"the kernel refuses {name} = {value} in {where}: {error.strerror}") from error
        raise


def read(directory: Directory, version: int, like: Limits = NOTHING) -> Limits:
    """The limits as they are; None for what is unlimited or has no file.

    Of page sizes and ``unified`` files there are many: those that ``like`` has are read.
    """
    limits = _read_v2(directory) if version == 2 else _read_v1(directory)
    return replace(
        limits,
        hugepage_bytes={size: _hugepage_limit(directory, version, size) for size in like.hugepage_bytes},
        unified={
            name: text
            for name in like.unified
            if (text := _text(directory(name.split(".", 1)[0]), name)) is not None
        },
    )


def _hugepage_limit(directory: Directory, version: int, size: str) -> int:
    name = f"hugetlb.{size}.max" if version == 2 else f"hugetlb.{size}.limit_in_bytes"
    value = _bounded(_number(directory("hugetlb"), name))
    return UNLIMITED if value is None else value


def _read_v1(directory: Directory) -> Limits:
    cpu, cpuset, mem, pids = (directory(name) for name in ("cpu", "cpuset", "memory", "pids"))
    quota = _number(cpu, "cpu.cfs_quota_us")
    return Limits(
        cpu_shares=_number(cpu, "cpu.shares"),
        cpu_quota_us=quota if quota is not None and quota > 0 else None,
        cpu_period_us=_number(cpu, "cpu.cfs_period_us"),
        cpuset_cpus=_text(cpuset, "cpuset.cpus"),
        cpuset_mems=_text(cpuset, "cpuset.mems"),
        memory_bytes=_bounded(_number(mem, "memory.limit_in_bytes")),
        memory_swap_bytes=_bounded(_number(mem, "memory.memsw.limit_in_bytes")),
        pids=_number(pids, "pids.max"),
    )


def _read_v2(directory: Directory) -> Limits:
    cpu, cpuset, mem, pids = (directory(name) for name in ("cpu", "cpuset", "memory", "pids"))
    quota, _, period = (_text(cpu, "cpu.max") or "max").partition(" ")
    memory, swap = _number(mem, "memory.max"), _number(mem, "memory.swap.max")
    weight = _number(cpu, "cpu.weight")
    return Limits(
        cpu_shares=None if weight is None else shares_from_weight(weight),
        cpu_quota_us=int(quota) if quota != "max" else None,
        cpu_period_us=int(period) if period else None,
        cpuset_cpus=_text(cpuset, "cpuset.cpus"),
        cpuset_mems=_text(cpuset, "cpuset.mems"),
        memory_bytes=memory,
        memory_swap_bytes=None if swap is None or memory is None else memory + swap,
        pids=_number(pids, "pids.max"),
    )


def _bounded(value: int | None) -> int | None:
    return None if value is None or value >= V1_NO_LIMIT else value


def _number(where: Path | None, name: str) -> int | None:
    return None if where is None else read_number(where / name)


def _text(where: Path | None, name: str) -> str | None:
    return None if where is None else read_text(where / name)


def read_text(file: Path) -> str | None:
    """The stripped text, None when the file cannot be read (a cgroup may vanish under us)."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, FILE_SIZE).decode().strip()
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_number(file: Path) -> int | None:
    """The whole number in a file; None for "max", an empty or an unreadable one."""
    text = read_text(file)
    return int(text) if text and text.lstrip("-").isdigit() else None
