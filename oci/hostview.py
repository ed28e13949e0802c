"""Looking at the host for oci.generate: what it offers for all, and what one container's request touches.

Everything here reads files and blocks: call it in a thread.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from host import security
from host.cgroups import Hierarchy
from host.features import Features
from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from host.mounts import mounts
from oci.generate.identity import FILE_LIMIT
from oci.generate.inputs import ContainerInput, DeviceNode, HostView, MountPoint, Observed, Propagation

_DEV = Path("/dev")
_NOT_DEVICES = frozenset({"pts", "shm", "fd", "mqueue", "console"})
_DEPTH_LIMIT = 8


def gather(hierarchy: Hierarchy, features: Features) -> HostView:
    """The host as containers may use it; once, at start."""
    held = security.bounding_set()
    hugetlb = "hugetlb" in hierarchy.controllers
    return HostView(
        cgroup_version=hierarchy.version,
        capabilities=held,
        oom_score_adj_floor=security.oom_score_adj_floor(held),
        rlimit_ceilings=security.rlimit_ceilings(held),
        seccomp=features.seccomp,
        apparmor=features.apparmor,
        selinux=features.selinux,
        swap_accounting=_counts_swap(hierarchy),
        hugepage_sizes=features.hugepage_sizes if hugetlb else frozenset(),
        kernel_recursive_readonly=features.recursive_readonly,
        kernel_idmapped_mounts=features.idmapped_mounts,
        architecture=os.uname().machine,
    )


def observe(container: ContainerInput) -> Observed:
    """What generate() needs to know about this container's devices and mounts."""
    wanted = (*container.defaults.devices, *container.devices)
    privileged = container.security.privileged and not container.defaults.privileged_without_host_devices
    propagates = any(mount.propagation is not Propagation.PRIVATE for mount in container.mounts)
    return Observed(
        device_nodes={device.host_path: device_nodes(Path(device.host_path)) for device in wanted},
        host_devices=host_devices() if privileged else (),
        mount_points=mount_points() if propagates else (),
    )


def device_nodes(path: Path) -> tuple[DeviceNode, ...]:
    """The node at ``path`` (links followed), or all below a directory; empty when there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    if stat.S_ISDIR(status.st_mode):
        return tuple(_walk(path, (), 0))
    node = _node(path, status)
    return (node,) if node else ()


def host_devices(root: Path = _DEV) -> tuple[DeviceNode, ...]:
    """All of /dev but the parts that every container has of its own."""
    return tuple(_walk(root, _NOT_DEVICES, 0))


def mount_points() -> tuple[MountPoint, ...]:
    """Our mount table, in its order, with what propagates."""
    return tuple(
        MountPoint(
            path=str(mount.mountpoint),
            shared=any(tag.startswith("shared:") for tag in mount.propagation),
            slave=any(tag.startswith("master:") for tag in mount.propagation),
        )
        for mount in mounts()
    )


def read_in_root(root: Path, name: str, limit: int = FILE_LIMIT) -> bytes:
    """``name`` inside ``root``, one byte beyond ``limit`` at most; empty when there is no such regular file.

    ``root`` is an image's: its links are followed as a process inside would follow them and cannot lead out,
    and a FIFO or device in the file's place does not block us.
    """
    try:
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        found = openat2(directory, name, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except OSError:
        return b""
    finally:
        os.close(directory)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return b""
        with Path(f"/proc/self/fd/{found}").open("rb") as file:
            return file.read(limit + 1)
    finally:
        os.close(found)


def _counts_swap(hierarchy: Hierarchy) -> bool:
    """Whether swap limits exist; version 2 hides them in the root and has them unless told not to."""
    if hierarchy.version == 2:
        return "swapaccount=0" not in Path("/proc/cmdline").read_text().split()
    directory = hierarchy.directory("/", "memory")
    return directory is not None and (directory / "memory.memsw.limit_in_bytes").exists()


def _walk(directory: Path, skipped: Collection[str], depth: int) -> Iterator[DeviceNode]:
    """Links are not followed: what they point at has a name of its own, or is not in this tree."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name in skipped:
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth < _DEPTH_LIMIT:
                yield from _walk(Path(entry.path), (), depth + 1)
            continue
        try:
            node = _node(Path(entry.path), entry.stat(follow_symlinks=False))
        except OSError:
            continue
        if node:
            yield node


def _node(path: Path, status: os.stat_result) -> DeviceNode | None:
    kinds = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    kind = kinds.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    device = status.st_rdev
    mode = stat.S_IMODE(status.st_mode)
    return DeviceNode(
        str(path), kind, os.major(device), os.minor(device), mode, uid=status.st_uid, gid=status.st_gid
    )
