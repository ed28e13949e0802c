"""Mounts that the container's runtime cannot make by itself: the daemon makes them, the runtime binds them.

<runroot>/mounts/<container id>/<n>   a copy of the source's mount, its ids mapped or read-only all through

They are needed while the runtime creates the container, which then has mounts of its own: kept longer, they
would hold volumes that the kubelet wants to unmount.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from api.ids import ContainerId
from cri.containers.mounts import BadMount
from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes.idmaps import id_mappings
from cri.sandboxes.record import Sandbox
from host.idmaps import attach_copy, detach_copy
from host.userns import make_user_namespace
from oci.generate.inputs import HostView, Mount, Propagation, RuntimeView
from oci.generate.namespaces import id_entries

_LOCKED = {"nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV, "noexec": os.ST_NOEXEC}


def prepare(node: Node, container: Container, sandbox: Sandbox, mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Make ready those that need it; what cannot be honoured anyway is left for spec generation to refuse.

    Blocks: call it in a thread. ``release`` undoes it, also when it fails halfway.

    Raises:
        BadMount: the file system of a source cannot be mounted with mapped ids.
    """
    view = node.handlers.view(container.handler)
    directory = node.paths.mounts / container.id
    done = []
    for number, mount in enumerate(mounts):
        mapped = needs_map(mount, node.host, view)
        frozen = needs_freeze(mount, node.host, view)
        if mapped or frozen:
            target = directory / str(number)
            _attach(sandbox, f"mounts[{number}]", mount, target, mapped=mapped, frozen=frozen)
            mount = replace(mount, prepared_path=str(target))
        done.append(with_locked_options(mount) if sandbox.has_user_namespace else mount)
    return tuple(done)


def with_locked_options(mount: Mount) -> Mount:
    """With the restrictions that its source carries. In a user namespace they are locked (see
    mount_namespaces(7)), and a runtime that sets other options without repeating them fails."""
    held = restrictions(os.statvfs(mount.host_path).f_flag)
    return replace(mount, mount_options=tuple(dict.fromkeys((*mount.mount_options, *held))))


def restrictions(flags: int) -> list[str]:
    """The mount options that the flags of statvfs(3) tell of, of those that only take away."""
    return [name for name, flag in _LOCKED.items() if flags & flag]


def needs_map(mount: Mount, host: HostView, runtime: RuntimeView) -> bool:
    """Whether its id maps are ours to apply. Those of an image volume are in its layers already."""
    asked = bool(mount.uid_mappings and mount.gid_mappings) and not mount.source_is_image
    return asked and host.kernel_idmapped_mounts and not runtime.idmapped_mounts and not runtime.is_vm


def needs_freeze(mount: Mount, host: HostView, runtime: RuntimeView) -> bool:
    """Whether it is ours to make it read-only all through."""
    able = host.kernel_recursive_readonly and not runtime.is_vm
    return mount.recursive_read_only and able and not runtime.recursive_readonly


def _attach(sandbox: Sandbox, field: str, mount: Mount, target: Path, *, mapped: bool, frozen: bool) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if Path(mount.host_path).is_dir():
        target.mkdir()
    else:
        target.touch()
    private = mount.propagation is Propagation.PRIVATE
    with _user_namespace(sandbox, mount) if mapped else contextlib.nullcontext() as userns:
        try:
            attach_copy(mount.host_path, target, userns=userns, readonly=frozen, private=private)
        except OSError as error:
            if not mapped or error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            raise BadMount(
                f"{field}.uidMappings: {mount.host_path} cannot be mounted with mapped ids: "
                "its file system lacks that, or it is mounted so already"
            ) from error


@contextlib.contextmanager
def _user_namespace(sandbox: Sandbox, mount: Mount) -> Iterator[int]:
    """A descriptor of one with the mount's id maps: nearly always the pod's."""
    if (mount.uid_mappings, mount.gid_mappings) == id_mappings(sandbox):
        descriptor = os.open(sandbox.namespaces["user"], os.O_RDONLY | os.O_CLOEXEC)
    else:
        descriptor = make_user_namespace(id_entries(mount.uid_mappings), id_entries(mount.gid_mappings))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def release(node: Node, container_id: ContainerId) -> None:
    """Take them away; none there is fine. Blocks for a few file operations."""
    directory = node.paths.mounts / container_id
    with contextlib.suppress(FileNotFoundError):
        for target in directory.iterdir():
            detach_copy(target)
        directory.rmdir()
