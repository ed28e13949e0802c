"""Which cgroup a configuration asks for (runtime-spec, config-linux.md, Cgroups Path), and what a
container's state says about one."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host import slices
from host.cgroups import V2, Hierarchy, Tree, own_paths
from oci.run.cgroups.files import FilesCgroup, places_of
from oci.run.cgroups.place import Place
from oci.run.cgroups.types import BadResources, Cgroup

_OWN = Path("/proc/self/cgroup")
_NAME = re.compile(r"[A-Za-z0-9:_.\\@+-]+")
_ROOT_SLICE = "-.slice"
_PREFIX = "podwright"


def cgroup_for(
    spec: Mapping[str, Any],
    container: str,
    systemd: bool,
    *,
    hierarchy: Hierarchy | None = None,
    rootless: bool | None = None,
) -> Cgroup:
    """The cgroup of a new container; nothing is made yet.

    ``spec`` is a decoded config.json. ``hierarchy`` as mounted, for callers that have found it before.
    ``rootless``: do without where nothing is ours; None: unless this is root.

    Raises:
        BadResources: its linux.cgroupsPath is none.
    """
    mounted = Hierarchy.detect() if hierarchy is None else hierarchy
    linux = spec.get("linux") or {}
    path = linux.get("cgroupsPath") or ""
    if not isinstance(path, str) or "\0" in path or ".." in path.split("/"):
        raise BadResources(f"linux.cgroupsPath {path!r} is not a path without '..'")
    alone = os.geteuid() != 0 if rootless is None else rootless
    owner = owner_of(spec)
    if not systemd:
        places = [Place(tree, inner) for tree, inner in _paths(mounted, path or container)]
        return FilesCgroup(places, rootless=alone, owner=owner)
    from oci.run.cgroups.scopes import ScopeCgroup  # D-Bus is needed by few

    annotations = spec.get("annotations") or {}
    parent, unit = unit_of(path, container, "user.slice" if alone else "system.slice")
    return ScopeCgroup(
        unit, parent, mounted, container=container, annotations=annotations, user=alone, owner=owner
    )


def cgroup_from(facts: Mapping[str, Any]) -> Cgroup:
    """The cgroup of a container that is there, by its ``facts``."""
    if facts["driver"] == "cgroupfs":
        return FilesCgroup(places_of(facts["places"]), rootless=bool(facts["rootless"]))
    from oci.run.cgroups.scopes import ScopeCgroup

    return ScopeCgroup.again(facts)


def unit_of(path: str, container: str, default_slice: str) -> tuple[str, str]:
    """Slice and unit of ``slice:prefix:name``; without a path a scope of the container's name.

    Raises:
        BadResources: it has another form, or names no unit.
    """
    if not path:
        return default_slice, f"{_PREFIX}-{container}.scope"
    parts = path.split(":")
    if len(parts) != 3:
        raise BadResources(f"linux.cgroupsPath {path!r} is not slice:prefix:name, as with systemd's driver")
    parent, prefix, name = parts[0] or default_slice, parts[1], parts[2]
    unit = name if name.endswith(slices.SLICE) else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    if not name or not _NAME.fullmatch(unit) or len(unit) > slices.UNIT_NAME_LIMIT:
        raise BadResources(f"linux.cgroupsPath {path!r} does not name a unit of systemd")
    try:
        if parent != _ROOT_SLICE:
            slices.levels(parent)
    except slices.BadSlice as error:
        raise BadResources(f"linux.cgroupsPath {path!r}: {error}") from None
    return parent, unit


def _paths(hierarchy: Hierarchy, path: str) -> Sequence[tuple[Tree, str]]:
    """The path in each tree: an absolute one below its root, another below our own cgroup; on version 2
    below the one above that, for a cgroup with processes cannot limit others."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise BadResources(f"linux.cgroupsPath {path!r} is the root")
    inner = "/".join(parts)
    if path.startswith("/"):
        return [(tree, inner) for tree in hierarchy.trees]
    own = own_paths(_OWN.read_text())
    return [(tree, f"{_own_path(tree, own)}/{inner}".strip("/")) for tree in hierarchy.trees]


def _own_path(tree: Tree, own: Mapping[str, str]) -> str:
    """Our own cgroup below a tree's root, the root itself where the mount shows another part."""
    name = V2 if tree.v2 else next(iter(sorted(tree.controllers)), V2)
    path = own.get(name, "/")
    if tree.v2:
        path = path.rpartition("/")[0]
    path = path.strip("/")
    return path if ".." not in path.split("/") and (tree.root / path).is_dir() else ""


def owner_of(spec: Mapping[str, Any]) -> int | None:
    """The host's number of the user that the container's cgroup is given to (version 2): one with a
    cgroup namespace of its own that may write to /sys/fs/cgroup."""
    linux = spec.get("linux") or {}
    own = any(one.get("type") == "cgroup" and not one.get("path") for one in linux.get("namespaces") or ())
    mounts = [one for one in spec.get("mounts") or () if one.get("destination") == "/sys/fs/cgroup"]
    if not own or not mounts or "ro" in (mounts[-1].get("options") or ()):
        return None
    uid = ((spec.get("process") or {}).get("user") or {}).get("uid", 0)
    for mapping in linux.get("uidMappings") or ():
        first = mapping["containerID"]
        if first <= uid < first + mapping["size"]:
            return int(mapping["hostID"] + uid - first)
    return None if linux.get("uidMappings") else int(uid)
