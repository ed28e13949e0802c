"""Resources as writes to files of cgroups; pure but for reading what the files hold now.

Hybrid is both: each controller has the version of the tree that it is mounted in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oci.run.cgroups.types import BadResources, Resources

Read = Callable[[str, str], str | None]
"""The text of a file by controller and name, None when it is not there."""


@dataclass(frozen=True, slots=True)
class Write:
    """``text`` into the file ``name`` where ``controller`` is; each line is a write(2).

    ``missing_ok``: a kernel without the file has nothing to limit. Of a file with a line for each device,
    ``key`` is which, and ``absent`` the value that takes a line away.
    """

    controller: str
    name: str
    text: str
    missing_ok: bool = False
    key: str = ""
    absent: str = ""


Section = Callable[[Resources, Read], list[Write]]


def plan(resources: Resources, version_of: Callable[[str], int], read: Read) -> list[Write]:
    """The writes for ``resources`` but for devices, in the order in which the kernel takes them.

    ``version_of`` tells the version, 1 or 2, of the tree that has a controller, and of the whole machine for
    a controller that none has.

    Raises:
        BadResources: a value that makes no sense, or that this version cannot have.
    """
    from oci.run.cgroups import version1, version2

    writes: list[Write] = []
    for controller, first in version1.SECTIONS.items():
        sections = (first, version2.SECTIONS[controller])
        writes += sections[version_of(controller) - 1](resources, read)
    return writes + version2.unified(resources, version_of)


def table(resources: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, empty when it is not there or null."""
    value = resources.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadResources(f"linux.resources: {key} is {value!r}, not an object")
    return value


def tables(resources: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects, empty when it is not there or null."""
    value = resources.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise BadResources(f"linux.resources: {key} is {value!r}, not a list of objects")
    return value


def number(section: Mapping[str, Any], key: str) -> int | None:
    """A whole number, None when it is not there or null."""
    value = section.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadResources(f"linux.resources: {key} is {value!r}, not a whole number")
    return value


def set_number(section: Mapping[str, Any], key: str) -> int | None:
    """The same where 0 means as much as not being there."""
    return number(section, key) or None


def text(section: Mapping[str, Any], key: str) -> str | None:
    """A text without line breaks, None when it is not there or empty."""
    value = section.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\n" in value or "\0" in value:
        raise BadResources(f"linux.resources: {key} is {value!r}, not a line of text")
    return value


def device(entry: Mapping[str, Any]) -> str:
    """``MAJOR:MINOR`` of a block device."""
    return f"{number(entry, 'major') or 0}:{number(entry, 'minor') or 0}"


def page_size(entry: Mapping[str, Any]) -> str:
    """A page size as the kernel spells it in names ("2MB")."""
    size = text(entry, "pageSize") or ""
    if not size or not size.isalnum():
        raise BadResources(f"linux.resources: pageSize is {entry.get('pageSize')!r}, not like 2MB")
    return size


def as_number(value: str | None) -> int | None:
    """A number out of a file; None for "max", and what is not there."""
    return int(value) if value and value.lstrip("-").isdigit() else None


def rdma(resources: Resources, _: Read) -> list[Write]:
    """The same in both versions."""
    writes = []
    for name, limits in table(resources, "rdma").items():
        if not isinstance(limits, Mapping) or not name or any(part.isspace() for part in name):
            raise BadResources(f"linux.resources: rdma {name!r} is {limits!r}")
        words = (("hca_handle", number(limits, "hcaHandles")), ("hca_object", number(limits, "hcaObjects")))
        value = " ".join(f"{word}={limit}" for word, limit in words if limit is not None)
        if value:
            nothing = "hca_handle=max hca_object=max"
            writes.append(Write("rdma", "rdma.max", f"{name} {value}", key=name, absent=nothing))
    return writes


def cpuset(resources: Resources, _: Read) -> list[Write]:
    """The same on both versions."""
    cpu = table(resources, "cpu")
    names = (("cpuset.cpus", text(cpu, "cpus")), ("cpuset.mems", text(cpu, "mems")))
    return [Write("cpuset", name, value) for name, value in names if value is not None]


def pids(resources: Resources, _: Read) -> list[Write]:
    """The same in both versions; 0 is less than the first process, which is there already."""
    limit = number(table(resources, "pids"), "limit")
    if limit is None:
        return []
    return [Write("pids", "pids.max", "max" if limit < 0 else str(limit or 1))]
