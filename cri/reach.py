"""A root file system where root of a user namespace can reach it, while a runtime creates the container.

/run/podwright-userns/<container id>/rootfs   a copy of the mount; the directory above is root's, mode 0710,
                                              and its group is the one that the namespace's root is mapped to

State is for root alone, and no directory above it need be open to others either (host/private.py). Runtimes
mount the root file system from inside of the user namespace, by its path: crun 1.8 and runc 1.1 both do. What
else they mount they open before. So there is a path through directories that anybody may pass, which ends
before one that only this pod may enter. When the container is made the mount goes, and an empty directory
stays while it lives: runc starts every exec there.
"""

import contextlib
import os
from pathlib import Path

from cri.paths import Paths
from host.idmaps import attach_copy, detach_copy, unmount_copy
from host.private import public_directory


def attach(paths: Paths, identifier: str, rootfs: Path, gid: int) -> Path:
    """Show ``rootfs`` to members of the group ``gid``; the path to name. ``remove`` undoes it, also when this
    fails halfway. Blocks for a few file operations."""
    public_directory(paths.reachable, 0o711)
    directory = paths.reachable / identifier
    directory.mkdir(mode=0o700)
    os.chown(directory, 0, gid)
    directory.chmod(0o710)
    target = directory / "rootfs"
    target.mkdir()
    attach_copy(rootfs, target)
    return target


def detach(paths: Paths, identifier: str) -> None:
    """Show it no longer; none there is fine. Blocks for a few file operations."""
    directory = paths.reachable / identifier
    if directory.is_dir():
        directory.chmod(0o700)
        unmount_copy(directory / "rootfs")


def remove(paths: Paths, identifier: str) -> None:
    """Leave nothing of it; none there is fine. Blocks for a few file operations."""
    directory = paths.reachable / identifier
    detach_copy(directory / "rootfs")
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()
