"""linux.namespaces, their mappings and offsets (config-linux.md)."""

import posixpath
from typing import NamedTuple

from host.clone import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import ClockOffset, Map

KINDS = {
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "network": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "mount": CLONE_NEWNS,
    "time": CLONE_NEWTIME,
}
_ID_MAXIMUM = (1 << 32) - 1


class Namespaces(NamedTuple):
    """``new`` are to be made, ``joined`` are there: by CLONE_NEW… flag, the latter with their paths."""

    new: int
    joined: dict[int, str]
    uid_map: Map
    gid_map: Map
    offsets: tuple[ClockOffset, ...]

    @property
    def flags_early(self) -> int:
        """Those of the new user and PID namespaces that the first fork can make. A user namespace must wait
        until those that belong to the host are joined."""
        others = any(kind not in (CLONE_NEWPID, CLONE_NEWUSER) for kind in self.joined)
        return self.new & (CLONE_NEWPID if others else CLONE_NEWPID | CLONE_NEWUSER)

    def has(self, kind: int) -> bool:
        """Whether the container has one that is not (necessarily) the caller's."""
        return bool(self.new & kind) or kind in self.joined


def read(linux: Table) -> Namespaces:
    """
    Raises:
        BadConfig: an unknown or repeated kind, a relative path, mappings or offsets without their namespace.
    """
    new, joined = 0, {}
    for entry in linux.tables("namespaces"):
        kind, path = entry.text("type"), entry.text("path")
        if kind not in KINDS:
            raise BadConfig(f"unknown namespace type {kind!r}")
        flag = KINDS[kind]
        if new & flag or flag in joined:
            raise BadConfig(f"malformed spec file: duplicated ns {kind!r}")
        if not path:
            new |= flag
        elif posixpath.isabs(path):
            joined[flag] = path
        else:
            raise BadConfig(f"namespace path {path!r} is not absolute")
    uids, gids = maps(linux, "uidMappings"), maps(linux, "gidMappings")
    if (uids or gids) and not (new & CLONE_NEWUSER or CLONE_NEWUSER in joined):
        raise BadConfig("user namespace mappings specified, but user namespace isn't enabled in the config")
    if new & CLONE_NEWUSER and not (uids and gids):
        raise BadConfig("user namespaces enabled, but no uid or gid mapping found")
    return Namespaces(new, joined, uids, gids, _offsets(linux, new))


def maps(table: Table, key: str) -> Map:
    """uidMappings or gidMappings as (containerID, hostID, size)."""
    found = []
    for entry in table.tables(key):
        inside, outside, size = (entry.number(name) for name in ("containerID", "hostID", "size"))
        if min(inside, outside) < 0 or size < 1 or max(inside, outside) + size - 1 > _ID_MAXIMUM:
            raise BadConfig(f"{table.name_of(key)}: {inside} {outside} {size} is no mapping of 32 bit ids")
        found.append((inside, outside, size))
    return tuple(found)


def host_id(mapping: Map, inside: int) -> int:
    """What ``inside`` is on the host; itself without a mapping.

    Raises:
        BadConfig: it is not mapped.
    """
    for start, outside, size in mapping:
        if start <= inside < start + size:
            return outside + inside - start
    if mapping:
        raise BadConfig(f"id {inside} is not mapped in the user namespace")
    return inside


def _offsets(linux: Table, new: int) -> tuple[ClockOffset, ...]:
    table = linux.table("timeOffsets")
    if table and not new & CLONE_NEWTIME:
        raise BadConfig("time namespace offsets specified, but no new time namespace is in the config")
    found = []
    for clock in table.raw:
        if clock not in ("monotonic", "boottime"):
            raise BadConfig(f"unknown clock {clock!r} in linux.timeOffsets")
        entry = table.table(clock)
        found.append(ClockOffset(clock, entry.number("secs"), entry.number("nanosecs")))
    return tuple(found)
