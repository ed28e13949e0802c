"""Making a container's directories, with what a new one needs before a process can be in it."""

import contextlib
from collections.abc import Mapping

from oci.run.cgroups.place import Place
from oci.run.cgroups.types import BadResources, Resources

# Of version 2: they count what belongs to no thread, so a threaded cgroup cannot have them.
_DOMAIN_CONTROLLERS = frozenset({"memory", "io", "hugetlb", "rdma", "misc"})


def make(place: Place, resources: Resources, made: list[Place], *, alone: bool) -> None:
    """Make the directory and those above it; ``made`` gets it if it is new, even if this then fails.
    ``alone``: version 2 is all there is.

    Raises:
        BadResources: its place in the tree lets it have no limit of a kind that is asked for.
    """
    if place.tree.v2:
        _make_parents(place.parent())
        _hand_down(place, None if alone else _named(resources))
    try:
        new = place.make()
    except FileNotFoundError:
        _make_parents(place.parent())
        new = place.make()
    if new:
        made.append(place)
    if "cpuset" in place.tree.controllers and not place.tree.v2:
        _fill_cpuset(place)
    if place.tree.v2 and alone:
        _refuse_domain(place, resources)


def _make_parents(place: Place | None) -> None:
    """Make what is missing above a cgroup; there it is made whether it stays or not, as by any runtime."""
    if place is None or place.exists():
        return
    _make_parents(place.parent())
    if place.tree.v2:
        _hand_down(place, None)
    place.make()
    if "cpuset" in place.tree.controllers and not place.tree.v2:
        _fill_cpuset(place)


def _hand_down(place: Place, wanted: frozenset[str] | None) -> None:
    """Enable for ``place``, on the whole way, every controller that there is, or of them ``wanted``.

    One at a time: a directory with processes refuses some (EBUSY); the limit that then has no file says so.
    """
    if wanted is not None and not wanted & place.tree.controllers:
        return
    last = (place.above().read("cgroup.subtree_control") or "").split()
    if (place.tree.controllers if wanted is None else wanted & place.tree.controllers).issubset(last):
        return
    for above in _ways(place):
        having = (above.read("cgroup.controllers") or "").split()
        enabled = (above.read("cgroup.subtree_control") or "").split()
        for name in having:
            if name not in enabled and (wanted is None or name in wanted):
                with contextlib.suppress(OSError):
                    above.write("cgroup.subtree_control", f"+{name}")


def _ways(place: Place) -> list[Place]:
    """From the root down to what is right above."""
    parts = place.path.split("/")[:-1]
    return [Place(place.tree, "/".join(parts[:count])) for count in range(len(parts) + 1)]


def _named(resources: Resources) -> frozenset[str]:
    """The controllers of version 2 that a hybrid machine needs for these."""
    names = {"hugepageLimits": "hugetlb", "rdma": "rdma", "pids": "pids", "cpu": "cpu", "memory": "memory"}
    unified = resources.get("unified")
    files = unified if isinstance(unified, Mapping) else {}
    return frozenset(
        {name for key, name in names.items() if resources.get(key)}
        | {file.split(".", 1)[0] for file in files}
    )


def _fill_cpuset(place: Place) -> None:
    """A new cpuset of version 1 has neither processors nor memory, and no process can be in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if place.read(name):
            continue
        if parent := place.parent():
            _fill_cpuset(parent)
        if text := place.above().read(name):
            place.write(name, text)


def _refuse_domain(place: Place, resources: Resources) -> None:
    """A cgroup below one with processes or threads cannot have every controller."""
    kind = place.read("cgroup.type") or "domain"
    if kind == "domain":
        return
    if _named(resources) & _DOMAIN_CONTROLLERS or resources.get("blockIO"):
        raise BadResources(f"cgroup {place.directory} is {kind}: it cannot limit memory, input or output")
    if kind == "domain invalid":
        place.write("cgroup.type", "threaded")
