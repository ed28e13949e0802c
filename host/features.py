"""Probes for kernel features whose absence changes what is promised to the kubelet.

Each one tries the thing itself on throw-away objects and cleans up: version numbers lie in both directions.
"""

import contextlib
import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

from host import security
from host.idmaps import attach_copy, detach_copy
from host.mounts import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
)
from host.overlayfs import overlay
from host.syscalls import SYS_MOUNT_SETATTR, SYS_OPEN_TREE, libc
from host.userns import make_user_namespace


@dataclass(frozen=True, slots=True)
class Features:
    """What the kernel can do, found by trying; needs CAP_SYS_ADMIN, without it all mount probes say no."""

    recursive_readonly: bool
    idmapped_mounts: bool
    user_namespaces: bool
    seccomp: bool
    apparmor: bool
    selinux: bool
    hugepage_sizes: frozenset[str]


def probe(directory: Path) -> Features:
    """Probe with ``directory`` as the file system that id-mapped mounts are wanted on."""
    return Features(
        recursive_readonly=recursive_readonly(directory),
        idmapped_mounts=idmapped_mounts(directory),
        user_namespaces=Path("/proc/self/ns/user").exists(),
        seccomp="errno" in security.seccomp_actions(),
        apparmor=security.apparmor_enabled(),
        selinux=security.selinux_enabled(),
        hugepage_sizes=hugepage_sizes(),
    )


def recursive_readonly(directory: Path) -> bool:
    """Whether mount_setattr makes a whole detached copy of ``directory``'s tree read-only (kernel 5.12)."""
    return _try_attributes(directory, attr_set=MOUNT_ATTR_RDONLY, userns_fd=0, recursive=True)


def idmapped_mounts(directory: Path) -> bool:
    """Whether ``directory``'s file system can be mounted id-mapped (kernel 5.12; by file system), and
    overlayfs takes such mounts for layers (5.19), as the root file systems of mapped pods need it.

    Blocks for a process start: a user namespace is needed to hold the map.
    """
    try:
        userns = make_user_namespace([(0, 100000, 65536)], [(0, 100000, 65536)])
    except OSError:
        return False
    try:
        mapped = _try_attributes(directory, attr_set=MOUNT_ATTR_IDMAP, userns_fd=userns, recursive=False)
        return mapped and _try_mapped_layers(directory, userns)
    finally:
        os.close(userns)


def _try_mapped_layers(directory: Path, userns: int) -> bool:
    """Mount an overlay of mapped layers in a directory of our own below ``directory``, and take it away."""
    place = directory / f".probe-{os.getpid()}"
    for left in directory.glob(".probe-*"):  # by a process that was killed
        if left == place or not Path("/proc", left.name.removeprefix(".probe-")).exists():
            _take_away(left)
    layers, target = [place / "0", place / "1"], place / "target"
    try:
        place.mkdir(mode=0o700)
    except OSError:  # full, or read-only
        return False
    try:
        for path in (*layers, target):
            path.mkdir()
        for layer in layers:
            attach_copy(layer, layer, userns=userns, recursive=False)
        overlay(layers, None, None, target)
    except OSError:
        return False
    finally:
        _take_away(place)
    return True


def _take_away(place: Path) -> None:
    for path in (place / "target", place / "0", place / "1"):
        with contextlib.suppress(FileNotFoundError):
            detach_copy(path)
    place.rmdir()


def hugepage_sizes(sysfs: Path = Path("/sys")) -> frozenset[str]:
    """Sizes the kernel offers, spelled as cgroup files spell them: "2MB", "1GB", "64KB"."""
    sizes = set()
    try:
        entries = list((sysfs / "kernel/mm/hugepages").iterdir())
    except OSError:
        return frozenset()
    for entry in entries:
        match = re.fullmatch(r"hugepages-(\d+)kB", entry.name)
        if match:
            sizes.add(hugepage_name(int(match[1])))
    return frozenset(sizes)


def hugepage_name(kibibytes: int) -> str:
    """ "2MB" for 2048: the largest unit that divides, as mm/hugetlb_cgroup.c prints it."""
    for unit, factor in (("GB", 1 << 20), ("MB", 1 << 10)):
        if kibibytes >= factor:
            return f"{kibibytes // factor}{unit}"
    return f"{kibibytes}KB"


def _try_attributes(directory: Path, *, attr_set: int, userns_fd: int, recursive: bool) -> bool:
    """Set attributes on a detached clone: nothing becomes visible anywhere."""
    depth = AT_RECURSIVE if recursive else 0  # an id map is refused when some mount below cannot have one
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | depth
    tree = int(libc.syscall(SYS_OPEN_TREE, -100, os.fsencode(directory), flags))
    if tree < 0:
        return False
    attributes = (ctypes.c_uint64 * 4)(attr_set, 0, 0, userns_fd)
    try:
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        call = libc.syscall(SYS_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH | depth, attributes, size)
        return bool(call == 0)
    finally:
        os.close(tree)
