"""The mounts array: what every container gets, the pod's files, the request's (config.md, mounts)."""

import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oci.generate.inputs import (
    BadContainer,
    ContainerInput,
    HostView,
    Mount,
    MountPoint,
    NamespaceMode,
    Propagation,
    RuntimeView,
)
from oci.generate.namespaces import mapping_entries

OciMount = dict[str, Any]

# CRI Mount.mount_options: what narrows a mount. Read-only and propagation have fields of their own.
MOUNT_OPTIONS = frozenset(
    {"noexec", "nosuid", "nodev", "noatime", "nodiratime", "relatime", "strictatime", "nosymfollow", "sync"}
)


def mounts(
    container: ContainerInput, host: HostView, runtime: RuntimeView, points: Sequence[MountPoint]
) -> list[OciMount]:
    """All mounts, shallow before deep, so that nothing is hidden by a later one.

    A request for a path replaces our own mount there; one for /sys or /dev also what belongs to it below.

    Raises:
        BadContainer: a requested mount cannot be made as asked for.
    """
    requested = {_target(mount): mount for mount in container.mounts}
    volumes = [mount for mount in container.volumes if _target(mount) not in requested]
    ours = [*default_mounts(container), *pod_files(container), *_read_only_mode(container)]
    ours += _containerenv(container)
    kept = [mount for mount in ours if not _overridden(mount["destination"], requested)]
    kept += [requested_mount(mount, host, runtime, points) for mount in (*volumes, *container.mounts)]
    return sorted(kept, key=lambda mount: _depth(mount["destination"]))


def default_mounts(container: ContainerInput) -> list[OciMount]:
    """The file systems of config-linux.md and the cgroup tree; /sys can be written when privileged."""
    access = "rw" if container.security.privileged else "ro"
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        devpts(),
        _mqueue(container),
        _sysfs(container, access),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", access),
        shm(container),
    ]


def devpts() -> OciMount:
    """A devpts instance of its own; 5 is the tty group nearly everywhere."""
    options = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return _mount("/dev/pts", "devpts", "devpts", *options)


def _sysfs(container: ContainerInput, access: str) -> OciMount:
    """A user namespace cannot mount sysfs for a network namespace that it does not own: bind the host's."""
    if _in_userns(container) and container.security.namespaces.network is NamespaceMode.NODE:
        return _bind("/sys", "/sys", "rprivate", "nosuid", "noexec", "nodev", access)
    return _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", access)


def _mqueue(container: ContainerInput) -> OciMount:
    """Likewise for message queues and the host's IPC namespace."""
    if _in_userns(container) and container.security.namespaces.ipc is NamespaceMode.NODE:
        return _bind("/dev/mqueue", "/dev/mqueue", "rprivate", "nosuid", "noexec", "nodev")
    return _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")


def _in_userns(container: ContainerInput) -> bool:
    return bool(container.sandbox.uid_mappings) or "user" in container.sandbox.namespaces


def shm(container: ContainerInput) -> OciMount:
    """/dev/shm is shared in the pod, or the host's with the host's IPC namespace."""
    if container.security.namespaces.ipc is NamespaceMode.NODE:
        return _bind("/dev/shm", "/dev/shm", "rprivate", "rw")
    if container.sandbox.shm_path is None:
        return _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k")
    return _bind("/dev/shm", str(container.sandbox.shm_path), "rprivate", "nosuid", "noexec", "nodev", "rw")


def pod_files(container: ContainerInput) -> list[OciMount]:
    """The files that the runtime answers for; read-only where the root file system is."""
    sandbox = container.sandbox
    files = {
        "/etc/resolv.conf": sandbox.resolv_conf,
        "/etc/hostname": sandbox.hostname_file,
        "/etc/hosts": sandbox.hosts_file,
        "/etc/passwd": container.passwd_file,
        "/etc/group": container.group_file,
    }
    access = "ro" if root_is_readonly(container) else "rw"
    made = [(target, source, access) for target, source in files.items() if source is not None]
    if container.defaults.timezone_file:
        # The node's own file, which all containers share: nobody writes to it.
        made.append(("/etc/localtime", Path(container.defaults.timezone_file), "ro"))
    return [
        _bind(target, str(source), "rprivate", "nosuid", "noexec", "nodev", how)
        for target, source, how in made
    ]


def _containerenv(container: ContainerInput) -> list[OciMount]:
    """Read-only always, for it lies on the node's own tmpfs."""
    if container.containerenv_file is None:
        return []
    options = ("rprivate", "nosuid", "noexec", "nodev", "ro")
    return [_bind("/run/.containerenv", str(container.containerenv_file), *options)]


def root_is_readonly(container: ContainerInput) -> bool:
    """By request or by configuration (read_only)."""
    return container.security.readonly_rootfs or container.defaults.read_only


def _read_only_mode(container: ContainerInput) -> list[OciMount]:
    """With ``read_only`` configured every container still has somewhere to write."""
    if not container.defaults.read_only:
        return []
    modes = {"/run": "0755", "/tmp": "1777", "/var/tmp": "1777"}
    return [
        _mount(target, "tmpfs", "tmpfs", "rw", "nosuid", "nodev", f"mode={mode}")
        for target, mode in modes.items()
    ]


def requested_mount(
    mount: Mount, host: HostView, runtime: RuntimeView, points: Sequence[MountPoint]
) -> OciMount:
    """One CRI mount as a bind mount."""
    target = _target(mount)
    if not mount.host_path.startswith("/"):
        raise BadContainer(f"mounts: {target}: host_path {mount.host_path!r} is not absolute")
    if mount.source_is_image and not mount.readonly:
        raise BadContainer(f"mounts: {target}: readonly is false, but image volumes are read-only")
    access = _access(mount, target, host, runtime)
    _check_propagation(mount, target, points)
    extra = _extra_options(mount, target)
    document = _bind(target, mount.prepared_path or mount.host_path, mount.propagation, *access, *extra)
    return document | _id_maps(mount, target, host, runtime)


def _access(mount: Mount, target: str, host: HostView, runtime: RuntimeView) -> list[str]:
    if not mount.recursive_read_only:
        return ["ro"] if mount.readonly else ["rw"]
    if not mount.readonly:
        raise BadContainer(f"mounts: {target}: recursive_read_only needs readonly, which is false")
    if mount.propagation is not Propagation.PRIVATE:
        name = mount.propagation.name
        raise BadContainer(f"mounts: {target}: recursive_read_only needs private propagation, not {name}")
    if mount.prepared_path and not runtime.recursive_readonly:
        return ["ro"]
    if not (host.kernel_recursive_readonly and runtime.recursive_readonly):
        lacking = "runtime handler" if host.kernel_recursive_readonly else "kernel"
        raise BadContainer(f"mounts: {target}: recursive_read_only: this {lacking} cannot do it")
    return ["ro", "rro"]


def _extra_options(mount: Mount, target: str) -> list[str]:
    unknown = sorted(set(mount.mount_options) - MOUNT_OPTIONS)
    if unknown:
        known = ", ".join(sorted(MOUNT_OPTIONS))
        raise BadContainer(
            f"mounts: {target}: mount_options {', '.join(unknown)} not allowed; known: {known}"
        )
    return list(dict.fromkeys(mount.mount_options))


def _id_maps(mount: Mount, target: str, host: HostView, runtime: RuntimeView) -> dict[str, Any]:
    if not mount.uid_mappings and not mount.gid_mappings:
        return {}
    if not mount.uid_mappings or not mount.gid_mappings:
        raise BadContainer(f"mounts: {target}: uidMappings and gidMappings go together")
    if mount.source_is_image or (mount.prepared_path and not runtime.idmapped_mounts):
        return {}  # done: in the layers of the image, or by the caller
    if not (host.kernel_idmapped_mounts and runtime.idmapped_mounts):
        lacking = "runtime handler" if host.kernel_idmapped_mounts else "kernel"
        raise BadContainer(f"mounts: {target}: uidMappings: this {lacking} cannot map ids of mounts")
    return {
        "uidMappings": mapping_entries(mount.uid_mappings),
        "gidMappings": mapping_entries(mount.gid_mappings),
    }


def _check_propagation(mount: Mount, target: str, points: Sequence[MountPoint]) -> None:
    """What propagates must come from a mount that does (mount_namespaces(7))."""
    if mount.propagation is Propagation.PRIVATE:
        return
    point = mount_point_of(mount.host_path, points)
    both_ways = mount.propagation is Propagation.BIDIRECTIONAL
    if point is None or not (point.shared or (point.slave and not both_ways)):
        needed = "a shared mount" if both_ways else "a shared or slave mount"
        where = point.path if point else "unknown"
        raise BadContainer(
            f"mounts: {target}: propagation {mount.propagation.name} needs {needed}, but "
            f"{mount.host_path} is on {where}, which is private; make it shared on the host"
        )


def mount_point_of(path: str, points: Sequence[MountPoint]) -> MountPoint | None:
    """The innermost mount that ``path`` is on; of several at one place, the last (top) one."""
    best: MountPoint | None = None
    for point in points:
        inside = path == point.path or path.startswith(point.path.rstrip("/") + "/")
        if inside and (best is None or len(point.path) >= len(best.path)):
            best = point
    return best


def root_propagation(requested: Sequence[Mount]) -> str | None:
    """linux.rootfsPropagation: a mount cannot propagate out of a tree that is cut off above it."""
    kinds = {mount.propagation for mount in requested}
    for kind in (Propagation.BIDIRECTIONAL, Propagation.HOST_TO_CONTAINER):
        if kind in kinds:
            return kind.value
    return None


def _target(mount: Mount) -> str:
    path = mount.container_path
    if not path or "\0" in path:
        raise BadContainer(f"mounts: container_path {path!r} is not a path")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise BadContainer(f"mounts: container_path {path!r} is the container's root")
    return clean


def _overridden(destination: str, requested: dict[str, Mount]) -> bool:
    """A request for /sys or /dev brings its own tree, but /dev keeps the pod's shm and mqueue.

    Nothing is put into a /run of the request, which may be the node's own.
    """
    if destination == "/run/.containerenv" and not requested.keys().isdisjoint({"/run", "/var/run"}):
        return True
    if destination == "/dev/pts" and "/dev" in requested:
        return True
    return destination in requested or ("/sys" in requested and destination.startswith("/sys/"))


def _depth(destination: str) -> int:
    return destination.rstrip("/").count("/")


def _mount(destination: str, kind: str, source: str, *options: str) -> OciMount:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _bind(destination: str, source: str, *options: str) -> OciMount:
    return _mount(destination, "bind", source, "rbind", *(str(option) for option in options))
