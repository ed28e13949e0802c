"""Where a container's mounts really lie: links followed as inside its root, and /proc kept whole.

A mount lies where the image and the mounts before it lead: a volume has links too, which another container
of the pod may have made. All mounts count, also those that every container gets: an image decides where its
/etc/hostname is. That is judged here before a runtime begins; what changed meanwhile is seen afterwards
(cri/containers/outcome.py).

What lies over /proc decides what a runtime reads and writes there on its way into the container: labels,
sysctls, OOM scores (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). runc refuses such mounts; for the
other runtimes we do.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from cri.containers.mounts import BadMount
from host.files import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

PROC = "/proc"
# What monitoring file systems lay over, as runc has it.
HARMLESS = frozenset(
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
_STEPS_LIMIT = 2_000  # names that are looked at on the way to one place: those of links count too
# What must be where it is called, as runc has it: whoever looks for it by that name would find another's.
_FIXED = {"proc": PROC, "sysfs": "/sys"}


class Tree:
    """A root file system in which nothing runs yet, with the mounts that are laid into it, in their order."""

    def __init__(self, rootfs: Path) -> None:
        self._laid: list[tuple[str, str | None]] = [("/", str(rootfs))]
        self._links: dict[str, str | None] = {}  # what _link has said, as long as it holds

    def lay(self, destination: str, source: str | None) -> str:
        """Add a mount, of a directory or file of the node or of a file system without links; its place.

        Raises:
            BadMount: too many links lead there, or too long a way.
        """
        place = self.place(destination)
        self._laid.append((place, source))
        self._links = {path: said for path, said in self._links.items() if not is_below(path, place)}
        return place

    def place(self, path: str) -> str:
        """``path`` without links and dots; what is missing is taken for directories.

        Raises:
            BadMount: too many links, or too long a way.
        """
        ahead = _parts(path)[::-1]
        behind: list[str] = []
        links = steps = 0
        while ahead:
            name = ahead.pop()
            steps += 1
            if steps > _STEPS_LIMIT:
                raise BadMount(f"mounts: {path[:100]}: more than {_STEPS_LIMIT} names on the way there")
            if name == "..":
                del behind[-1:]
                continue
            here = "/" + "/".join([*behind, name])
            if here not in self._links:
                self._links[here] = self._link(here)
            target = self._links[here]
            if target is None:
                behind.append(name)
                continue
            links += 1
            if links > _LINKS_LIMIT:
                raise BadMount(f"mounts: {path}: too many links lead there")
            if target.startswith("/"):
                behind.clear()
            ahead += _parts(target)[::-1]
        return "/" + "/".join(behind)

    def _link(self, path: str) -> str | None:
        """What the link at ``path`` says, no part of which before the last is one; None if it is none."""
        top, source = next(laid for laid in reversed(self._laid) if is_below(path, laid[0]))
        if path == top or source is None:
            return None
        try:
            return _read_link(source, path.removeprefix(top).lstrip("/"))
        except (OSError, ValueError):  # no link, or not there
            return None


def is_below(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or inside it; both without links and dots."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def check(document: Mapping[str, Any], rootfs: Path, whole: Collection[str] = ()) -> None:
    """Judge where the mounts and the working directory of a runtime-spec document lie. Blocking.

    A bind mount of one of ``whole`` may take the place of /proc itself: the node's.

    Raises:
        BadMount: a mount is over /proc or a part of it, its place is a circle of links, or the process would
            work among the descriptors of whoever looks: on its way into the container that is the runtime,
            and a directory of the node that it has open would be the container's (CVE-2024-21626).
    """
    tree = Tree(rootfs)
    for mount in document["mounts"]:
        binds = not {"bind", "rbind"}.isdisjoint(mount.get("options", ()))
        place = tree.lay(mount["destination"], mount["source"] if binds else None)
        _check(mount["destination"], place, mount, whole if binds else ())
    cwd = document["process"]["cwd"]
    if _DESCRIPTORS.match(place := tree.place(cwd)):
        raise BadMount(f"working_dir: {cwd} is {place}: among the descriptors of a process")


def _check(path: str, place: str, mount: Mapping[str, Any], whole: Iterable[str]) -> None:
    where = path if path == place else f"{path} ({place})"
    fixed = _FIXED.get(mount.get("type", ""))
    if fixed is not None and path == fixed:
        if place != fixed:
            raise BadMount(f"mounts: {where}: the image has a link in the place of {fixed}")
        return
    if not is_below(place, PROC) or place in HARMLESS or (path == place == PROC and mount["source"] in whole):
        return
    raise BadMount(f"mounts: {where}: nothing may be mounted over {PROC} or inside it")


def _read_link(directory: str, path: str) -> str:
    top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_NOFOLLOW
        found = openat2(top, path, flags, resolve=RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    finally:
        os.close(top)
    try:
        return os.readlink("", dir_fd=found)
    finally:
        os.close(found)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
