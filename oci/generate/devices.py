"""Device nodes and the device cgroup's rules (config-linux.md, devices and allowed device list)."""

import posixpath
from collections.abc import Iterator
from typing import Any

from oci.generate.inputs import BadContainer, ContainerInput, Device, DeviceNode, Observed

# Every runtime makes these by itself (config-linux.md, default devices).
DEFAULT_NODES = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")
)


def devices(
    container: ContainerInput, observed: Observed
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(linux.devices, linux.resources.devices); the runtime adds the default nodes and their rules.

    A privileged container may use every device and sees all the host's, unless configuration keeps them away.

    Raises:
        BadContainer: no such device, permissions that are none, or a relative path.
    """
    everything = container.security.privileged and not container.defaults.privileged_without_host_devices
    nodes: dict[str, dict[str, Any]] = {}
    rules: list[dict[str, Any]] = [{"allow": everything, "access": "rwm"}]
    if everything:
        for node in observed.host_devices:
            if node.path not in DEFAULT_NODES:
                nodes[node.path] = _entry(node, node.path, None)
    for device in (*container.defaults.devices, *container.devices):
        for node, path in _found(device, observed):
            nodes[path] = _entry(node, path, container)
            rules.append(_rule(node, device.permissions))
    return list(nodes.values()), rules


def _found(device: Device, observed: Observed) -> Iterator[tuple[DeviceNode, str]]:
    """(node, path in the container) for a device, or for each one below a directory."""
    permissions = device.permissions
    if not permissions or set(permissions) - set("rwm") or len(set(permissions)) != len(permissions):
        raise BadContainer(
            f"devices: {device.host_path}: permissions {permissions!r} are not among r, w and m"
        )
    for name, path in (("host_path", device.host_path), ("container_path", device.container_path)):
        if path and not path.startswith("/"):
            raise BadContainer(f"devices: {name} {path!r} is not absolute")
    nodes = observed.device_nodes.get(device.host_path, ())
    if not nodes:
        raise BadContainer(f"devices: host_path {device.host_path!r}: no such device on this host")
    target = posixpath.normpath(device.container_path or device.host_path)
    for node in nodes:
        below = posixpath.relpath(node.path, device.host_path) if node.path != device.host_path else "."
        # A link to a node is one device under the name asked for; below a directory, names are kept.
        inside = below != "." and not below.startswith("..")
        yield node, posixpath.join(target, below) if inside else target


def _entry(node: DeviceNode, path: str, container: ContainerInput | None) -> dict[str, Any]:
    uid, gid = node.uid, node.gid
    if container is not None and container.defaults.device_ownership_from_security_context:
        security = container.security
        uid = uid if security.run_as_user is None else security.run_as_user
        gid = gid if security.run_as_group is None else security.run_as_group
    return {
        "path": path,
        "type": node.kind,
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.mode,
        "uid": uid,
        "gid": gid,
    }


def _rule(node: DeviceNode, access: str) -> dict[str, Any]:
    return {"allow": True, "type": node.kind, "major": node.major, "minor": node.minor, "access": access}
