"""CDI edits, put into a runtime-spec document (CDI SPEC.md, "OCI Edits")."""

from collections.abc import Callable, Mapping
from typing import Any

from oci.cdi.spec import Edits, Hook, Mount, Node
from oci.generate.inputs import BadContainer, DeviceNode

FindNode = Callable[[str], DeviceNode | None]


def apply(document: dict[str, Any], edits: Edits, find_node: FindNode) -> None:
    """Change ``document`` by ``edits``; ``find_node`` looks at a device node of the host.

    Raises:
        BadContainer: a device node of the edits is not on this host.
    """
    process, linux = document["process"], document["linux"]
    process["env"] = environment(process.get("env", ()), edits.env)
    for node in edits.nodes:
        _add_node(linux, _entry(node, process["user"], find_node), node.permissions)
    document["mounts"] = mounts(document["mounts"], edits.mounts)
    for hook in edits.hooks:
        document.setdefault("hooks", {}).setdefault(hook.name, []).append(_hook(hook))
    if edits.additional_gids:
        user = process["user"]
        user["additionalGids"] = list(
            dict.fromkeys((*user.get("additionalGids", ()), *edits.additional_gids))
        )


def environment(present: list[str] | tuple[str, ...], added: tuple[str, ...]) -> list[str]:
    """The variables, each once; an added one replaces its namesake."""
    values = {entry.partition("=")[0]: entry for entry in present}
    values |= {entry.partition("=")[0]: entry for entry in added}
    return list(values.values())


def mounts(present: list[dict[str, Any]], added: tuple[Mount, ...]) -> list[dict[str, Any]]:
    """The mounts, shallow before deep; an added one replaces what is at its place."""
    places = {mount.container_path for mount in added}
    kept = [mount for mount in present if mount["destination"] not in places]
    together = kept + [_mount(mount) for mount in added]
    return sorted(together, key=lambda mount: mount["destination"].rstrip("/").count("/"))


def _mount(mount: Mount) -> dict[str, Any]:
    options = list(mount.options)
    kind = mount.type or "bind"
    if kind == "bind" and not {"bind", "rbind"} & set(options):
        options.insert(0, "rbind")
    return {"destination": mount.container_path, "type": kind, "source": mount.host_path, "options": options}


def _entry(node: Node, user: Mapping[str, Any], find_node: FindNode) -> dict[str, Any]:
    """A linux.devices entry; what the edit leaves open is the host's, and the owner the container's user."""
    kind, major, minor = node.kind, node.major, node.minor
    if kind is None or (kind != "p" and (major is None or minor is None)):
        seen = find_node(node.host_path)
        if seen is None or kind not in (None, seen.kind):
            wanted = f"device of type {kind}" if kind else "device"
            raise BadContainer(f"CDI device node {node.host_path!r}: no such {wanted} on this host")
        kind, major, minor = seen.kind, seen.major, seen.minor
    entry: dict[str, Any] = {"path": node.path, "type": kind}
    if kind != "p":
        entry |= {"major": major, "minor": minor}
    optional = {
        "fileMode": node.file_mode,
        "uid": node.uid if node.uid is not None else user.get("uid") or None,
        "gid": node.gid if node.gid is not None else user.get("gid") or None,
    }
    return entry | {key: value for key, value in optional.items() if value is not None}


def _add_node(linux: dict[str, Any], entry: dict[str, Any], permissions: str) -> None:
    others = [one for one in linux.get("devices", ()) if one["path"] != entry["path"]]
    linux["devices"] = [*others, entry]
    if entry["type"] != "p":
        rule = {"allow": True, "type": entry["type"], "major": entry["major"], "minor": entry["minor"]}
        linux["resources"].setdefault("devices", []).append(rule | {"access": permissions})


def _hook(hook: Hook) -> dict[str, Any]:
    document: dict[str, Any] = {"path": hook.path}
    optional = {"args": list(hook.args), "env": list(hook.env), "timeout": hook.timeout_s}
    return document | {key: value for key, value in optional.items() if value}
