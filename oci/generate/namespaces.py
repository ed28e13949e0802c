"""Namespaces and id maps (config-linux.md, namespaces and user namespace mappings)."""

from collections.abc import Sequence
from typing import Any

from oci.generate.inputs import (
    BadContainer,
    ContainerInput,
    HostView,
    IdMapping,
    NamespaceMode,
    NamespaceOptions,
)

_ID_END = 0xFFFFFFFF


def namespaces(container: ContainerInput, host: HostView) -> list[dict[str, Any]]:
    """The namespaces array; a kind that is absent is the host's.

    Raises:
        BadContainer: a mode that the kind does not know, or a PID namespace whose owner is not there.
    """
    options, sandbox = container.security.namespaces, container.sandbox
    check_modes(options)
    entries: list[dict[str, Any]] = [{"type": "mount"}]
    modes = {"network": options.network, "ipc": options.ipc, "uts": options.network}
    for kind, mode in modes.items():
        if mode is not NamespaceMode.NODE and kind in sandbox.namespaces:
            entries.append({"type": kind, "path": str(sandbox.namespaces[kind])})
    if "user" in sandbox.namespaces:
        entries.append({"type": "user", "path": str(sandbox.namespaces["user"])})
    elif sandbox.uid_mappings:
        entries.append({"type": "user"})
    entries += pid_namespace(container)
    if host.cgroup_version == 2 and not container.security.privileged:
        entries.append({"type": "cgroup"})
    return entries


def pid_namespace(container: ContainerInput) -> list[dict[str, Any]]:
    """None, a new one, or that of the pod's first or the target's process."""
    mode, sandbox = container.security.namespaces.pid, container.sandbox
    if mode is NamespaceMode.NODE:
        return []
    if mode is NamespaceMode.CONTAINER:
        return [{"type": "pid"}]
    owner = sandbox.target_pid if mode is NamespaceMode.TARGET else sandbox.pause_pid
    if owner is None:
        who = (
            f"target_id {container.security.namespaces.target_id!r}"
            if mode is NamespaceMode.TARGET
            else "pod"
        )
        raise BadContainer(f"namespace_options.pid is {mode}, but the {who} has no running process")
    return [{"type": "pid", "path": f"/proc/{owner}/ns/pid"}]


def check_modes(options: NamespaceOptions) -> None:
    """Network and IPC are shared in the pod or with the node, nothing else.

    Raises:
        BadContainer: another mode.
    """
    for name, mode in (("network", options.network), ("ipc", options.ipc)):
        if mode not in (NamespaceMode.POD, NamespaceMode.NODE):
            raise BadContainer(f"namespace_options.{name}: {mode} is not supported, only POD and NODE")
    user_mappings(options)


def user_mappings(options: NamespaceOptions) -> tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]:
    """(uids, gids) of the pod's user namespace, both empty when it is the host's.

    Raises:
        BadContainer: another mode than POD and NODE, not exactly one mapping of each kind, one that does not
            start at container id 0, is empty or runs out of 32 bits.
    """
    user = options.user
    if user is None or user.mode is NamespaceMode.NODE:
        return (), ()
    if user.mode is not NamespaceMode.POD:
        raise BadContainer(f"userns_options.mode: {user.mode} is not supported, only POD and NODE")
    for name, mappings in (("uids", user.uids), ("gids", user.gids)):
        if len(mappings) != 1:
            raise BadContainer(f"userns_options.{name}: {len(mappings)} mappings, exactly one is supported")
        one = mappings[0]
        if one.container_id != 0:
            raise BadContainer(
                f"userns_options.{name}: container_id is {one.container_id}, id 0 must be mapped"
            )
        if one.length < 1 or one.host_id < 0 or one.host_id + one.length > _ID_END:
            raise BadContainer(
                f"userns_options.{name}: host_id {one.host_id} length {one.length} is no range"
            )
    return user.uids, user.gids


def id_entries(mappings: Sequence[IdMapping]) -> list[tuple[int, int, int]]:
    """The form of /proc/<pid>/uid_map: (inside, outside, length)."""
    return [(m.container_id, m.host_id, m.length) for m in mappings]


def mapping_entries(mappings: Sequence[IdMapping]) -> list[dict[str, int]]:
    """The OCI form of id maps."""
    return [{"containerID": m.container_id, "hostID": m.host_id, "size": m.length} for m in mappings]
