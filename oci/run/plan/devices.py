"""linux.devices and what every container has in /dev (config-linux.md, default devices)."""

import posixpath

from host.clone import CLONE_NEWUSER
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import BindMount, DeviceLink, MakeDevice
from oci.run.plan import options as mount_options
from oci.run.plan.namespaces import Namespaces

_MODE = 0o666
_DEFAULTS = (
    MakeDevice("/dev/null", "c", 1, 3, _MODE, 0, 0),
    MakeDevice("/dev/random", "c", 1, 8, _MODE, 0, 0),
    MakeDevice("/dev/full", "c", 1, 7, _MODE, 0, 0),
    MakeDevice("/dev/tty", "c", 5, 0, _MODE, 0, 0),
    MakeDevice("/dev/zero", "c", 1, 5, _MODE, 0, 0),
    MakeDevice("/dev/urandom", "c", 1, 9, _MODE, 0, 0),
)
_LINKS = (
    DeviceLink("/dev/ptmx", "pts/ptmx", replace=True),
    DeviceLink("/dev/fd", "/proc/self/fd"),
    DeviceLink("/dev/stdin", "/proc/self/fd/0"),
    DeviceLink("/dev/stdout", "/proc/self/fd/1"),
    DeviceLink("/dev/stderr", "/proc/self/fd/2"),
    DeviceLink("/dev/core", "/proc/kcore"),
)
_KINDS = {"c": "c", "u": "c", "b": "b", "p": "p"}


def devices(spec: Table, namespaces: Namespaces) -> list[MakeDevice | BindMount]:
    """A node each; bound from the host in a user namespace, which may make none. A /dev of the host's is left
    as it is.

    Raises:
        BadConfig: an unknown type, or no absolute path.
    """
    if has_host_dev(spec):
        return []
    wanted = {device.path: device for device in _DEFAULTS}
    for entry in spec.table("linux").tables("devices"):
        device = _device(entry)
        wanted[device.path] = device
    if not namespaces.has(CLONE_NEWUSER):
        return list(wanted.values())
    return [BindMount(path, path, recursive=False) for path in wanted]


def links(spec: Table) -> list[DeviceLink]:
    """The links in /dev."""
    return [] if has_host_dev(spec) else list(_LINKS)


def has_host_dev(spec: Table) -> bool:
    """Whether /dev is a bind mount, and so somebody else's."""
    return any(
        posixpath.normpath("/" + entry.text("destination").lstrip("/")) == "/dev"
        and (entry.text("type") == "bind" or mount_options.parse(entry.texts("options")).bind)
        for entry in spec.tables("mounts")
    )


def _device(entry: Table) -> MakeDevice:
    path, kind = entry.text("path"), entry.text("type")
    if not posixpath.isabs(path):
        raise BadConfig(f"device path {path!r} is not absolute")
    if kind not in _KINDS:
        raise BadConfig(f"device {path}: unknown type {kind!r}")
    return MakeDevice(
        posixpath.normpath(path),
        _KINDS[kind],
        entry.number("major"),
        entry.number("minor"),
        entry.number("fileMode", _MODE) & 0o7777,
        entry.number("uid"),
        entry.number("gid"),
    )
