"""What a runtime has made of a container's root file system, looked at before anything of it runs.

A runtime finds its way by names, and other containers of the pod can change those of a shared volume while it
does. Whatever was true when the request was judged, this is what the kernel has: nothing lies over /proc but
what belongs there (CVE-2019-16884, CVE-2025-52881), what is masked is hidden (CVE-2025-31133), and the
process works inside its root file system (CVE-2024-21626).
"""

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from api.errors import InvalidArgument
from cri.containers.mount_targets import HARMLESS, PROC, is_below
from cri.containers.record import Container
from cri.node import Node
from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from host.mounts import MountTable, mounts_of

# Where hooks of graphics drivers mount, and nothing that a runtime uses lies.
_OF_DRIVERS = f"{PROC}/driver"
_NULL = os.makedev(1, 3)
_FDINFO_SIZE = 1024  # more than proc(5) has there for what is opened by O_PATH


class BordersMisplaced(InvalidArgument):
    """A mount or the working directory is not where it was asked for: links led astray."""


class Expected(NamedTuple):
    """What its specification says of a container's borders."""

    masked: Collection[str]
    is_proc_its_own: bool  # else it is the node's, and what is mounted there comes along


def check(node: Node, container: Container, expected: Expected) -> None:
    """Judge a created container that is not started; one of a runtime that is a machine of its own is not
    looked at, nor one that has ended.

    Blocks for looks at its masked paths, which may lie on volumes: call it by ``Node.volume_threads``.

    Raises:
        BordersMisplaced: see there.
    """
    if node.handlers.view(container.handler).is_vm:
        return
    process = Path("/proc") / str(container.pid)
    try:
        mounts = mounts_of(container.pid)
        if expected.is_proc_its_own:
            require_proc(mounts, expected.masked)
        require_masks(process / "root", mounts, expected.masked)
        require_inside(process / "cwd", mounts)
    except (FileNotFoundError, ProcessLookupError):
        return


def require_proc(mounts: MountTable, masked: Collection[str]) -> None:
    """
    Raises:
        BordersMisplaced: something is mounted inside /proc that is neither a part of it nor a mask.
    """
    for mount in mounts.below(PROC, masked):
        place = str(mount.mountpoint)
        if place in masked or place in HARMLESS:
            continue
        itself = mount.fstype == "proc" and f"{PROC}{mount.root}" == place
        if not itself and not is_below(place, _OF_DRIVERS):
            raise BordersMisplaced(f"mounts: links led one to {place}: nothing may be mounted there")


def require_masks(root: Path, mounts: MountTable, masked: Collection[str]) -> None:
    """
    Raises:
        BordersMisplaced: a masked path shows something.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in masked:
            try:
                found = openat2(top, path, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
            except OSError:
                continue  # nothing is there
            try:
                hidden = _hides(found, mounts)
            finally:
                os.close(found)
            if not hidden:
                raise BordersMisplaced(f"masked_paths: {path} is not masked: a volume was in the way")
    finally:
        os.close(top)


def _hides(descriptor: int, mounts: MountTable) -> bool:
    """Whether it is what runtimes put over files and directories: /dev/null, a tmpfs of no use."""
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        mount = mounts.find(_mount_id(descriptor))
        return mount is not None and mount.fstype == "tmpfs" and "ro" in mount.options
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL


def require_inside(directory: Path, mounts: MountTable) -> None:
    """
    Raises:
        BordersMisplaced: the directory is on none of the mounts.
    """
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        if _mount_id(descriptor) not in mounts:
            raise BordersMisplaced("working_dir: links led out of the container's root file system")
    finally:
        os.close(descriptor)


def _mount_id(descriptor: int) -> int:
    file = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        facts = os.read(file, _FDINFO_SIZE)
    finally:
        os.close(file)
    return int(facts.partition(b"mnt_id:")[2].split()[0])
