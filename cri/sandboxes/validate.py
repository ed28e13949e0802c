"""What a sandbox configuration must say before anything is made for it."""

from collections.abc import Sequence

from api.errors import InvalidArgument
from api.runtime.v1 import api_pb2 as pb

# One past the last: the kernel keeps 2^32 - 1 for "no such id".
ID_END = 2**32 - 1


class BadSandboxConfig(InvalidArgument):
    """A field of PodSandboxConfig cannot be honoured."""


def sandbox(config: pb.PodSandboxConfig) -> None:
    """Refuse what cannot work.

    Raises:
        BadSandboxConfig: the message names field and value.
    """
    options = config.linux.security_context.namespace_options
    for field in ("network", "ipc"):
        mode = getattr(options, field)
        if mode not in (pb.POD, pb.NODE):
            raise BadSandboxConfig(
                f"namespace_options.{field} is {_mode_name(mode)}: a sandbox knows POD and NODE"
            )
    if options.pid == pb.TARGET:
        raise BadSandboxConfig("namespace_options.pid is TARGET: only a container can have a target")
    if options.pid not in pb.NamespaceMode.values():
        raise BadSandboxConfig(f"namespace_options.pid is {options.pid}: no such mode")
    if ".." in config.linux.cgroup_parent.split("/") or "\0" in config.linux.cgroup_parent:
        raise BadSandboxConfig(f"cgroup_parent {config.linux.cgroup_parent!r} must not contain '..'")
    for number, mapping in enumerate(config.port_mappings):
        _port_mapping(f"port_mappings[{number}]", mapping)
    if len(config.hostname.encode()) > 64:
        raise BadSandboxConfig(f"hostname {config.hostname!r} is longer than the kernel's 64 bytes")
    _log_directory(config.log_directory)
    user_namespace(options.userns_options)
    if wants_user_namespace(options) and options.pid == pb.NODE:
        raise BadSandboxConfig(
            "namespace_options.pid is NODE and userns_options.mode is POD: /proc of the node's processes "
            "cannot be mounted in a user namespace; give the pod a PID namespace too"
        )


def _log_directory(path: str) -> None:
    if path and (not path.startswith("/") or ".." in path.split("/")):
        raise BadSandboxConfig(f"log_directory {path!r} is not an absolute path without '..'")


def _mode_name(mode: pb.NamespaceMode.ValueType) -> str:
    return pb.NamespaceMode.Name(mode) if mode in pb.NamespaceMode.values() else str(mode)


def _port_mapping(field: str, mapping: pb.PortMapping) -> None:
    for name in ("host_port", "container_port"):
        port = getattr(mapping, name)
        if not 0 <= port <= 65535:
            raise BadSandboxConfig(f"{field}.{name} {port} is not between 0 and 65535")
    if mapping.protocol not in pb.Protocol.values():
        raise BadSandboxConfig(f"{field}.protocol is {mapping.protocol}: no such protocol")


def user_namespace(options: pb.UserNamespace) -> None:
    """The rules of KEP-127: one mapping each for uids and gids, the same, beginning at container id 0."""
    if options.mode == pb.NODE:
        if options.uids or options.gids:
            raise BadSandboxConfig("userns_options has mappings but mode NODE: drop one of the two")
        return
    if options.mode != pb.POD:
        name = _mode_name(options.mode)
        raise BadSandboxConfig(f"userns_options.mode is {name}: a sandbox knows POD and NODE")
    for field, mappings in (("uids", options.uids), ("gids", options.gids)):
        _mappings(field, mappings)
    if [_triple(m) for m in options.uids] != [_triple(m) for m in options.gids]:
        raise BadSandboxConfig("userns_options.uids and gids differ: they must be the same")


def _triple(mapping: pb.IDMapping) -> tuple[int, int, int]:
    return mapping.container_id, mapping.host_id, mapping.length


def _mappings(field: str, mappings: Sequence[pb.IDMapping]) -> None:
    if len(mappings) > 1:
        raise BadSandboxConfig(f"userns_options.{field} has {len(mappings)} mappings: one is supported")
    for mapping in mappings:
        if mapping.container_id != 0:
            raise BadSandboxConfig(
                f"userns_options.{field} maps from container id {mapping.container_id}: 0 must be mapped"
            )
        if mapping.length == 0:
            raise BadSandboxConfig(f"userns_options.{field} has length 0: nothing would be mapped")
        if mapping.host_id + mapping.length > ID_END:
            raise BadSandboxConfig(
                f"userns_options.{field} maps {mapping.length} ids from host id {mapping.host_id}: "
                f"the last id is {ID_END - 1}"
            )


def wants_user_namespace(options: pb.NamespaceOption) -> bool:
    """True when the pod is to have a user namespace of its own (an unset message means the node's)."""
    userns = options.userns_options
    return options.HasField("userns_options") and userns.mode == pb.POD and bool(userns.uids)
