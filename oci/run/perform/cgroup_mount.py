"""The cgroups of the container inside of it, in the form that the host has them (config-linux.md)."""

import errno
import os
from typing import NamedTuple

from host.inroot import find_or_make
from host.mounts import MOUNT_ATTR_RDONLY, Mount, closing_descriptor, parse_mountinfo
from host.procfs import open_in
from host.trees import attach, clone_of, new_filesystem
from oci.run.operations import CgroupMount
from oci.run.perform.context import Context
from oci.run.perform.mounting import apply, propagate

_V2 = "cgroup2"
_V1 = "cgroup"


class Hierarchy(NamedTuple):
    """A v1 hierarchy: its controllers as mount(8) names them, where it is mounted, the mount's root in it."""

    name: str
    mountpoint: str
    root: str


def cgroup_mount(operation: CgroupMount, context: Context) -> None:
    table = mount_table(context)
    unified = is_unified(table)
    with closing_descriptor(find_or_make(context.root, operation.target, directory=True)) as place:
        with closing_descriptor(_unified(operation, context) if unified else _tmpfs(operation)) as tree:
            attach(tree, place)
            # What is attached to a mount that is not attached itself would be lost.
            if not unified:
                _fill(tree, operation, context, hierarchies(table))
            apply(tree, operation.attributes)
            propagate(tree, operation.propagation)


def mount_table(context: Context) -> list[Mount]:
    """The mounts of our namespace."""
    with closing_descriptor(open_in(context.procfs, "self/mountinfo", os.O_RDONLY)) as descriptor:
        with open(descriptor, "rb", closefd=False) as file:
            return parse_mountinfo(os.fsdecode(file.read()))


def is_unified(table: list[Mount]) -> bool:
    """Whether cgroup version 2 is all there is."""
    return any(str(one.mountpoint) == "/sys/fs/cgroup" and one.fstype == _V2 for one in table)


def hierarchies(table: list[Mount]) -> list[Hierarchy]:
    """The v1 hierarchies of a mount table, each once."""
    found: dict[str, Hierarchy] = {}
    for one in table:
        if one.fstype == _V1:
            name = ",".join(option for option in one.super_options if option not in _GENERAL)
            found.setdefault(name, Hierarchy(name, str(one.mountpoint), one.root))
    return list(found.values())


_GENERAL = ("rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "seclabel", "favordynmods")


def _unified(operation: CgroupMount, context: Context) -> int:
    try:
        return new_filesystem(_V2, "cgroup", (), operation.attributes.wanted)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EBUSY):
            raise
    own = next((path for controllers, path in context.cgroups if not controllers), "/")
    path = f"/sys/fs/cgroup{own}" if operation.own_namespace else "/sys/fs/cgroup"
    with closing_descriptor(os.open(path, os.O_PATH | os.O_CLOEXEC)) as source:
        return clone_of(source, recursive=True)


def _tmpfs(operation: CgroupMount) -> int:
    writable = operation.attributes.wanted & ~MOUNT_ATTR_RDONLY
    return new_filesystem("tmpfs", "tmpfs", ("mode=755",), writable)


def _fill(top: int, operation: CgroupMount, context: Context, found: list[Hierarchy]) -> None:
    """A directory for each hierarchy, and links for controllers that are mounted together."""
    for number, one in enumerate(found):
        name = one.name.removeprefix("name=")
        os.mkdir(name, 0o755, dir_fd=top)
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with closing_descriptor(os.open(name, flags, dir_fd=top)) as place:
            with closing_descriptor(_hierarchy(operation, context, number, one)) as tree:
                apply(tree, operation.attributes)
                attach(tree, place)
                propagate(tree, operation.propagation)
        for each in name.split(",") if "," in name else ():
            os.symlink(name, each, dir_fd=top)


def _hierarchy(operation: CgroupMount, context: Context, number: int, one: Hierarchy) -> int:
    """A mount whose root is that of our cgroup namespace; without one, our directory in the host's."""
    if operation.own_namespace:
        options = one.name.split(",") if not one.name.startswith("name=") else ("none", one.name)
        return new_filesystem(_V1, "cgroup", options, operation.attributes.wanted)
    if context.cgroup_trees:
        return context.cgroup_trees[number]
    return own_directory(one, context)


def own_directory(one: Hierarchy, context: Context) -> int:
    """A copy of the host's mount of the hierarchy, from our cgroup down."""
    own = next((path for controllers, path in context.cgroups if controllers == one.name), "/")
    below = os.path.relpath(own, one.root) if own.startswith(one.root) else "."
    path = os.path.normpath(f"{one.mountpoint}/{below}")
    with closing_descriptor(os.open(path, os.O_PATH | os.O_CLOEXEC)) as source:
        return clone_of(source, recursive=True)
