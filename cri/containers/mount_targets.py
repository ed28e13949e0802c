"""Where a container's mounts really lie: links of its image followed as inside its root, and /proc kept
whole.

What lies over /proc decides what a runtime reads and writes there on its way into the container: labels,
sysctls, OOM scores (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). runc refuses such mounts; for the
other runtimes we do.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cri.containers.mounts import BadMount
from oci.generate.inputs import Mount

PROC = "/proc"
# What monitoring file systems lay over, as runc has it.
_HARMLESS = frozenset(
    f"{PROC}/{name}"
    for name in (
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    )
)
# /proc/self/fd, /proc/1/task/1/fd, and what lies below.
_DESCRIPTORS = re.compile(r"/proc/[^/]+/(?:task/[^/]+/)?(?:fd|fdinfo|map_files)(?:/|$)")
_LINKS_LIMIT = 40  # as the kernel has it


def check(mounts: Iterable[Mount], rootfs: Path) -> None:
    """Judge where each mount lies in a root file system in which nothing runs yet. Blocking.

    Raises:
        BadMount: over /proc or a part of it, or its place is a circle of links.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for mount in mounts:
            _check(mount, resolved(root, mount.container_path))
    finally:
        os.close(root)


def check_working_directory(path: str, rootfs: Path) -> None:
    """Refuse one that lies among the descriptors of whoever looks: on its way into the container that is the
    runtime, and a directory of the node that it has open would be the container's (CVE-2024-21626). Blocking.

    Raises:
        BadMount: see there.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = resolved(root, path)
    finally:
        os.close(root)
    if _DESCRIPTORS.match(place):
        raise BadMount(f"working_dir: {path} is {place}: among the descriptors of a process")


def _check(mount: Mount, place: str) -> None:
    if place != PROC and not place.startswith(f"{PROC}/"):
        return
    if place in _HARMLESS or (place == PROC and mount.host_path == PROC):
        return
    where = mount.container_path if mount.container_path == place else f"{mount.container_path} ({place})"
    raise BadMount(f"mounts: {where}: nothing may be mounted over {PROC} or inside it")


def resolved(root: int, path: str) -> str:
    """``path`` without links and dots, inside ``root``; what is missing is taken for directories.

    Raises:
        BadMount: too many links.
    """
    ahead = _parts(path)[::-1]
    behind: list[str] = []
    links = 0
    while ahead:
        name = ahead.pop()
        if name == "..":
            del behind[-1:]
            continue
        try:
            target = os.readlink("/".join([*behind, name]), dir_fd=root)
        except (OSError, ValueError):  # no link, or not there
            behind.append(name)
            continue
        links += 1
        if links > _LINKS_LIMIT:
            raise BadMount(f"mounts: {path}: too many links in the image")
        if target.startswith("/"):
            behind.clear()
        ahead += _parts(target)[::-1]
    return "/" + "/".join(behind)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
