"""mounts, rootfs and what of it is masked or read-only, as operations (config.md, config-linux.md)."""

import posixpath

from host.clone import CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWUSER
from host.mounts import MOUNT_ATTR_RDONLY
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import (
    Attributes,
    BindMount,
    CgroupMount,
    IdMap,
    MaskPath,
    NewMount,
    ReadonlyPath,
    Remount,
)
from oci.run.plan import options as mount_options
from oci.run.plan.namespaces import Namespaces, maps
from oci.run.plan.options import Options

Mounting = BindMount | NewMount | CgroupMount | Remount
# Over /proc itself only proc or a bind of one; below it only what lxcfs and the like replace.
_BELOW_PROC = frozenset(
    f"/proc/{name}"
    for name in (
        *("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"),
        *("sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"),
    )
)
# Their superblock is not the mount's own, or must stay writable for what is made in them.
_FLAG_OF_MOUNT_ONLY = ("tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup", "cgroup2")
_NO_LABEL = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2")


def mounts(spec: Table, namespaces: Namespaces, bundle: str) -> list[Mounting]:
    """One operation for each entry, in order, and last those that make tmpfs mounts read-only.

    Raises:
        BadConfig: a mount that cannot be.
    """
    label = spec.table("linux").text("mountLabel")
    made: list[Mounting] = []
    late: list[Mounting] = []
    for entry in spec.tables("mounts"):
        target = _target(entry)
        options = mount_options.parse(entry.texts("options"))
        fstype = entry.text("type")
        bind = options.bind or fstype == "bind"
        if not bind:
            _refuse_over_proc(target, fstype)
        if options.remount and not bind:
            made.append(Remount(target, options.attributes))
        elif bind:
            made.append(_bind(entry, target, options, namespaces, bundle))
        elif fstype in ("cgroup", "cgroup2"):
            own = namespaces.has(CLONE_NEWCGROUP)
            made.append(CgroupMount(target, options.attributes, own, options.propagation))
        else:
            mount, readonly = _new(entry, fstype, target, options, label)
            made.append(mount)
            late += [Remount(target, Attributes(wanted=MOUNT_ATTR_RDONLY))] if readonly else []
    return [*made, *late]


def _target(entry: Table) -> str:
    destination = entry.text("destination")
    if not destination:
        raise BadConfig(f"{entry.name_of('destination')} is missing")
    if "\0" in destination:
        raise BadConfig(f"{entry.name_of('destination')} has a zero byte")
    return posixpath.normpath("/" + destination.lstrip("/"))


def _refuse_over_proc(target: str, fstype: str) -> None:
    if target == "/proc" and fstype != "proc":
        raise BadConfig(f'"{target}" cannot be mounted because it is not of type proc')
    if target.startswith("/proc/") and target not in _BELOW_PROC:
        raise BadConfig(f'"{target}" cannot be mounted because it is inside /proc')


def _bind(entry: Table, target: str, options: Options, namespaces: Namespaces, bundle: str) -> BindMount:
    # Options of a file system mean nothing to a bind, and nothing is what crun and mount(2) make of them.
    source = entry.text("source")
    if not source or "\0" in source:
        raise BadConfig(f"{entry.name_of('source')} of a bind mount is missing or has a zero byte")
    if target.startswith("/proc/") and target not in _BELOW_PROC:
        raise BadConfig(f'"{target}" cannot be mounted because it is inside /proc')
    return BindMount(
        source if posixpath.isabs(source) else posixpath.join(bundle, source),
        target,
        options.recursive,
        options.attributes,
        options.propagation,
        _idmap(entry, options, namespaces),
        "src-nofollow" not in options.extensions and "copy-symlink" not in options.extensions,
        "dest-nofollow" not in options.extensions,
    )


def _idmap(entry: Table, options: Options, namespaces: Namespaces) -> IdMap | None:
    uids, gids = maps(entry, "uidMappings"), maps(entry, "gidMappings")
    wanted = options.extensions & {"idmap", "ridmap"}
    if not (uids or gids or wanted):
        return None
    if bool(uids) != bool(gids):
        raise BadConfig(f"{entry.name_of('uidMappings')}: a mapped mount needs both uid and gid mappings")
    if not uids:
        uids, gids = namespaces.uid_map, namespaces.gid_map
        if not (namespaces.has(CLONE_NEWUSER) and uids and gids):
            raise BadConfig(
                f"{entry.name_of('options')}: idmap without mappings needs a user namespace with some"
            )
    return IdMap(uids, gids, "ridmap" in options.extensions)


def _new(entry: Table, fstype: str, target: str, options: Options, label: str) -> tuple[NewMount, bool]:
    """The mount, and whether it has to become read-only when everything in it is made."""
    if not fstype:
        raise BadConfig(f"{entry.name_of('type')} is missing")
    if options.extensions - {"tmpcopyup"}:
        raise BadConfig(f"{entry.name_of('options')}: idmapped mounts are binds")
    attributes, flags = options.attributes, list(options.flags)
    readonly = bool(attributes.wanted & MOUNT_ATTR_RDONLY)
    late = readonly and fstype == "tmpfs"
    if late:
        attributes = attributes._replace(wanted=attributes.wanted & ~MOUNT_ATTR_RDONLY)
    elif readonly and fstype not in _FLAG_OF_MOUNT_ONLY:
        flags.append("ro")
    data = list(options.data)
    if label and fstype not in _NO_LABEL:
        data.append(f"context={label}")
    mount = NewMount(
        fstype,
        entry.text("source") or fstype,
        target,
        (*flags, *data),
        attributes,
        options.propagation,
        "tmpcopyup" in options.extensions,
    )
    return mount, late


def masks(linux: Table, namespaces: Namespaces) -> list[ReadonlyPath | MaskPath]:
    """readonlyPaths and maskedPaths, each path once."""
    readonly = dict.fromkeys(linux.texts("readonlyPaths"))
    masked = dict.fromkeys(linux.texts("maskedPaths"))
    if (readonly or masked) and not namespaces.has(CLONE_NEWNS):
        raise BadConfig("cannot mask paths or make them read-only without a mount namespace")
    for path in (*readonly, *masked):
        if not posixpath.isabs(path):
            raise BadConfig(f"path {path!r} to mask or make read-only is not absolute")
    label = linux.text("mountLabel")
    return [*map(ReadonlyPath, readonly), *(MaskPath(path, label) for path in masked)]
