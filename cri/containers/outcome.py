"""What a runtime has made of a container's root file system, looked at before anything of it runs.

A runtime finds its way by names, and other containers of the pod can change those of a shared volume while it
does. Whatever was true when the request was judged, this is what the kernel has: nothing lies over /proc but
what belongs there (CVE-2019-16884, CVE-2025-52881), what is masked is hidden (CVE-2025-31133), and the
process works inside its root file system (CVE-2024-21626).
"""

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from api.errors import InvalidArgument
from cri import spec_file
from cri.containers.mount_targets import HARMLESS, PROC, is_below
from cri.containers.record import Container
from cri.node import Node
from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from host.mounts import Mount, mounts_of

# Where hooks of graphics drivers mount, and nothing that a runtime uses lies.
_OF_DRIVERS = f"{PROC}/driver"
_NULL = os.makedev(1, 3)


class BordersMisplaced(InvalidArgument):
    """A mount or the working directory is not where it was asked for: links led astray."""


def check(node: Node, container: Container) -> None:
    """Judge a created container that is not started; one of a runtime that is a machine of its own is not
    looked at, nor one that has ended.

    Blocks for looks at its masked paths, which may lie on volumes: call it by ``Node.volume_threads``.

    Raises:
        BordersMisplaced: see there.
    """
    if node.handlers.view(container.handler).is_vm:
        return
    document = spec_file.read(node.paths.container(container.id))
    masked = document["linux"].get("maskedPaths", ())
    process = Path("/proc") / str(container.pid)
    try:
        mounts = mounts_of(container.pid)
        if all(mount["destination"] != PROC or mount["type"] == "proc" for mount in document["mounts"]):
            require_proc(mounts, masked)  # with the node's own comes what is mounted there
        require_masks(process / "root", mounts, masked)
        require_inside(process / "cwd", mounts)
    except (FileNotFoundError, ProcessLookupError):
        return


def require_proc(mounts: Sequence[Mount], masked: Collection[str]) -> None:
    """
    Raises:
        BordersMisplaced: something is mounted inside /proc that is neither a part of it nor a mask.
    """
    for mount in mounts:
        place = str(mount.mountpoint)
        if not place.startswith(f"{PROC}/") or place in masked or place in HARMLESS:
            continue
        itself = mount.fstype == "proc" and f"{PROC}{mount.root}" == place
        if not itself and not is_below(place, _OF_DRIVERS):
            raise BordersMisplaced(f"mounts: links led one to {place}: nothing may be mounted there")


def require_masks(root: Path, mounts: Sequence[Mount], masked: Collection[str]) -> None:
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


def _hides(descriptor: int, mounts: Sequence[Mount]) -> bool:
    """Whether it is what runtimes put over files and directories: /dev/null, a tmpfs of no use."""
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        mount = _mount_of(descriptor, mounts)
        return mount is not None and mount.fstype == "tmpfs" and "ro" in mount.options
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL


def require_inside(directory: Path, mounts: Sequence[Mount]) -> None:
    """
    Raises:
        BordersMisplaced: the directory is on none of the mounts.
    """
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        if _mount_of(descriptor, mounts) is None:
            raise BordersMisplaced("working_dir: links led out of the container's root file system")
    finally:
        os.close(descriptor)


def _mount_of(descriptor: int, mounts: Sequence[Mount]) -> Mount | None:
    facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    number = int(facts.partition("mnt_id:")[2].split()[0])
    return next((mount for mount in mounts if mount.mount_id == number), None)
