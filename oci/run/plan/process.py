"""The process object (config.md, process; config-linux.md): who it is, what it may, and what it executes."""

import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from api.kernel import CAPABILITIES
from oci.run import limits
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import IoPriority, ResourceLimit, Scheduler
from oci.run.process_operations import SetMemoryPolicy, SetPersonality

_UMASK = 0o022
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_PERSONAS = {"LINUX": 0, "LINUX32": 8}
MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,
}
_WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")


class CapabilitySets(NamedTuple):
    """Bit masks."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int


class Process(NamedTuple):
    """A process object that has been read; see config.md for the words."""

    terminal: bool
    width: int
    height: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    capabilities: CapabilitySets | None
    limits: tuple[ResourceLimit, ...]
    no_new_privileges: bool
    apparmor: str
    selinux: str
    oom_score: int | None
    scheduler: Scheduler | None
    io_priority: IoPriority | None
    affinity_initial: tuple[int, ...]
    affinity_final: tuple[int, ...]
    unknown_capabilities: tuple[str, ...]


def read(table: Table) -> Process:
    """
    Raises:
        BadConfig: what cannot be executed.
    """
    args, cwd, user = table.texts("args"), table.text("cwd"), table.table("user")
    if not args:
        raise BadConfig("args must not be empty")
    if not posixpath.isabs(cwd):
        raise BadConfig(f"Cwd must be an absolute path, not {cwd!r}")
    sets, unknown = _capabilities(table)
    size = table.table("consoleSize")
    affinity = table.table("execCPUAffinity")
    return Process(
        terminal=table.flag("terminal"),
        width=_within(size, "width", 0, 65535),
        height=_within(size, "height", 0, 65535),
        uid=_within(user, "uid", 0, (1 << 32) - 2),
        gid=_within(user, "gid", 0, (1 << 32) - 2),
        groups=user.numbers("additionalGids"),
        umask=_within(user, "umask", 0, 0o777, _UMASK),
        args=_without_zero(args, "args"),
        env=_environment(table.texts("env")),
        cwd=cwd,
        capabilities=sets,
        limits=tuple(_limits(table.tables("rlimits"))),
        no_new_privileges=table.flag("noNewPrivileges"),
        apparmor=table.text("apparmorProfile"),
        selinux=table.text("selinuxLabel"),
        oom_score=_oom_score(table),
        scheduler=_scheduler(table.table("scheduler")),
        io_priority=_io_priority(table.table("ioPriority")),
        affinity_initial=number_list(affinity.text("initial")),
        affinity_final=number_list(affinity.text("final")),
        unknown_capabilities=unknown,
    )


def _within(table: Table, key: str, low: int, high: int, default: int = 0) -> int:
    value = table.number(key, default)
    if not low <= value <= high:
        raise BadConfig(f"{table.name_of(key)} {value} is not between {low} and {high}")
    return value


def _without_zero(texts: tuple[str, ...], name: str) -> tuple[str, ...]:
    if any("\0" in text for text in texts):
        raise BadConfig(f"{name} has a zero byte")
    return texts


def _environment(entries: tuple[str, ...]) -> tuple[str, ...]:
    """The last of several with one name counts, in its place."""
    found: dict[str, str] = {}
    for entry in _without_zero(entries, "env"):
        name, equals, _ = entry.partition("=")
        if not equals or not name:
            raise BadConfig(f"invalid environment variable {entry!r}")
        found.pop(name, None)
        found[name] = entry
    return tuple(found.values())


def capability_bits(names: Iterable[str], unknown: dict[str, None]) -> int:
    """The mask; names that are no capabilities go to ``unknown``."""
    bits = 0
    for name in names:
        if name in CAPABILITIES:
            bits |= 1 << CAPABILITIES.index(name)
        else:
            unknown[name] = None
    return bits


def _capabilities(table: Table) -> tuple[CapabilitySets | None, tuple[str, ...]]:
    if "capabilities" not in table:
        return None, ()
    sets, unknown = table.table("capabilities"), dict[str, None]()
    masks = [capability_bits(sets.texts(name), unknown) for name in CapabilitySets._fields]
    return CapabilitySets(*masks), tuple(unknown)


def _limits(tables: Iterable[Table]) -> Iterable[ResourceLimit]:
    seen = set()
    for table in tables:
        name = limits.require_known(table.text("type"))
        if name in seen:
            raise BadConfig(f"rlimit {name} is given twice")
        seen.add(name)
        yield ResourceLimit(name, *(_limit(table, key) for key in ("soft", "hard")))


def _limit(table: Table, key: str) -> int:
    """The kernel's infinity is -1 in Python's resource module."""
    value = table.number(key)
    return -1 if value == (1 << 64) - 1 else value


def _oom_score(table: Table) -> int | None:
    return _within(table, "oomScoreAdj", -1000, 1000) if "oomScoreAdj" in table else None


def _scheduler(table: Table) -> Scheduler | None:
    if not table:
        return None
    policy = table.text("policy")
    if policy not in _POLICIES:
        raise BadConfig(f"invalid scheduler policy {policy!r}")
    nice = _within(table, "nice", -20, 19)
    priority = table.number("priority")
    times = tuple(table.number(key) for key in ("runtime", "deadline", "period"))
    if priority and policy not in ("SCHED_FIFO", "SCHED_RR"):
        raise BadConfig("scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR policy")
    if any(times) and policy != "SCHED_DEADLINE":
        raise BadConfig("scheduler runtime, deadline and period are of SCHED_DEADLINE only")
    flags = sum({_known(_SCHEDULER_FLAGS, flag, "scheduler flag") for flag in table.texts("flags")})
    return Scheduler(_POLICIES[policy], flags, nice, priority, (times[0], times[1], times[2]))


def _known(names: dict[str, int], name: str, what: str) -> int:
    if name not in names:
        raise BadConfig(f"invalid {what} {name!r}")
    return names[name]


def _io_priority(table: Table) -> IoPriority | None:
    if not table:
        return None
    io_class = _known(_IO_CLASSES, table.text("class"), "ioPriority.class")
    return IoPriority(io_class, _within(table, "priority", 0, 7))


def personality(linux: Table) -> SetPersonality | None:
    """linux.personality."""
    table = linux.table("personality")
    if not table:
        return None
    if table.texts("flags"):
        raise BadConfig("personality flags are not supported")
    return SetPersonality(_known(_PERSONAS, table.text("domain"), "personality domain"))


def memory_policy(linux: Table) -> SetMemoryPolicy | None:
    """linux.memoryPolicy."""
    table = linux.table("memoryPolicy")
    if not table:
        return None
    mode = table.text("mode")
    number = _known(MEMORY_MODES, mode, "memory policy mode")
    nodes = number_list(table.text("nodes"))
    if bool(nodes) == (mode in _WITHOUT_NODES) and mode != "MPOL_PREFERRED":
        raise BadConfig(f"memory policy mode {mode} {'takes no' if nodes else 'needs'} nodes")
    flags = sum({_known(MEMORY_FLAGS, flag, "memory policy flag") for flag in table.texts("flags")})
    return SetMemoryPolicy(number | flags, sum(1 << node for node in nodes))


def number_list(text: str, limit: int = 8192) -> tuple[int, ...]:
    """``0-3,7`` as numbers (cpuset(7), list format)."""
    numbers: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise BadConfig(f"{text!r} is no list of numbers") from None
        if not 0 <= low <= high < limit:
            raise BadConfig(f"{text!r}: {part} is no range")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))
