"""The directories of the configuration, and the disk below them."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from conf.schema import Config
from cri.cli.examine.findings import Finding, fails, ok, warning
from host.mounts import Mount

# Overlayfs refuses these as its upper layer.
NO_UPPER = frozenset(
    {"overlay", "nfs", "nfs4", "vfat", "exfat", "9p", "fuse", "fuse.sshfs", "squashfs", "erofs"}
)
LOW_BYTES = 2 << 30
LOW_INODES = 50_000


def nearest_existing(path: Path) -> Path:
    """The path itself, or the closest of its parents that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def directories(config: Config) -> Iterator[Finding]:
    """Whether all that the daemon writes to can be written."""
    places = {
        "root": config.root,
        "runroot": config.runroot,
        "log_dir": config.log_dir,
        "listen": config.api.listen.parent,
    }
    if config.runtime.namespaces_dir is not None:
        places["namespaces_dir"] = config.runtime.namespaces_dir
    if config.metrics.enable_metrics and config.metrics.metrics_socket is not None:
        places["metrics_socket"] = config.metrics.metrics_socket.parent
    for name, path in places.items():
        existing = nearest_existing(path)
        if not existing.is_dir():
            yield fails(name, f"{existing} is not a directory", f"remove it, or set {name} to another path")
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield fails(name, f"{existing} cannot be written", f"remount it, or set {name} to another path")
        else:
            yield ok(name, str(path))


def filesystems(config: Config, mounts: list[Mount]) -> Iterator[Finding]:
    """Whether the file systems suit what is put on them."""
    kind = filesystem_of(nearest_existing(config.root), mounts)
    if kind in NO_UPPER:
        text = f"{config.root} is on {kind}, which overlay mounts cannot write to"
        yield fails("root", text, "set root to a directory on ext4, xfs or btrfs")
    kind = filesystem_of(nearest_existing(config.runroot), mounts)
    if kind not in {"tmpfs", "ramfs"}:
        text = f"{config.runroot} is on {kind}: every record of a pod is written to a disk"
        yield warning("runroot", text, "set runroot to a directory on a tmpfs such as /run")


def filesystem_of(path: Path, mounts: list[Mount]) -> str:
    """Type of the file system that holds a path: of the last mount on the nearest mount point."""
    real = path.resolve()
    below = [mount for mount in mounts if real.is_relative_to(mount.mountpoint)]
    deepest = max((len(mount.mountpoint.parts) for mount in below), default=0)
    fitting = [mount.fstype for mount in below if len(mount.mountpoint.parts) == deepest]
    return fitting[-1] if fitting else "an unknown file system"


def disk(config: Config, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> Iterator[Finding]:
    """Room for images."""
    place = nearest_existing(config.root)
    stat = statvfs(place)
    free_bytes = stat.f_bavail * stat.f_frsize
    shown = f"{free_bytes / (1 << 30):.1f} GiB free on {place}"
    if free_bytes < LOW_BYTES:
        yield warning("disk", f"only {shown}", "make room: the kubelet evicts pods from a full disk")
    elif stat.f_files > 0 and stat.f_favail < LOW_INODES:
        yield warning("disk", f"only {stat.f_favail} inodes free on {place}", "make room: images need many")
    else:
        yield ok("disk", shown)


def listener(path: Path) -> Iterator[Finding]:
    """Whether a daemon already answers on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return
    yield ok("listen", f"a daemon runs and serves {path}")
