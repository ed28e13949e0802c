"""Mount options as runc has them (config-linux.md, mounts): what each sets, clears, or is."""

from collections.abc import Iterable
from typing import NamedTuple

from host.mounts import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)
from host.trees import (
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_STRICTATIME,
)
from oci.run.operations import Attributes

# name: (to set, to clear)
ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
    "atime": (0, MOUNT_ATTR_ATIME),
    "relatime": (0, MOUNT_ATTR_ATIME),
    "norelatime": (0, MOUNT_ATTR_ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
    "nostrictatime": (0, MOUNT_ATTR_ATIME),
}
PROPAGATION = {
    "private": MS_PRIVATE,
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "unbindable": MS_UNBINDABLE,
    "rprivate": MS_PRIVATE | MS_REC,
    "rshared": MS_SHARED | MS_REC,
    "rslave": MS_SLAVE | MS_REC,
    "runbindable": MS_UNBINDABLE | MS_REC,
}
# Of the file system rather than the mount; those with an empty word are what is so anyway.
FILESYSTEM_FLAGS = {
    "sync": "sync",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "mand": "mand",
    "async": "",
    "nolazytime": "",
    "nomand": "",
    "silent": "",
    "loud": "",
    "iversion": "iversion",
    "noiversion": "",
    "acl": "",
    "noacl": "noacl",
    "defaults": "",
}
_EXTENSIONS = ("tmpcopyup", "idmap", "ridmap")
_OURS = ("copy-symlink", "src-nofollow", "dest-nofollow")


class Options(NamedTuple):
    """The parsed options of one mount; ``data`` goes to the file system as it is."""

    attributes: Attributes
    propagation: tuple[int, ...]
    flags: tuple[str, ...]
    data: tuple[str, ...]
    bind: bool
    recursive: bool
    remount: bool
    extensions: frozenset[str]


def parse(options: Iterable[str]) -> Options:
    """What the options ask for; a later one wins over an earlier one of the same bit."""
    once, below = [0, 0], [0, 0]
    propagation, flags, data, extensions = [], [], [], set()
    bind = recursive = remount = False
    for option in options:
        if option in ATTRIBUTES:
            _apply(once, ATTRIBUTES[option])
        elif option[:1] == "r" and option[1:] in ATTRIBUTES:
            _apply(below, ATTRIBUTES[option[1:]])
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif option in FILESYSTEM_FLAGS:
            flags += [FILESYSTEM_FLAGS[option]] if FILESYSTEM_FLAGS[option] else []
        elif option in ("bind", "rbind"):
            bind, recursive = True, recursive or option == "rbind"
        elif option == "remount":
            remount = True
        elif option in _EXTENSIONS or option in _OURS:
            extensions.add(option)
        elif option:
            data.append(option)
    return Options(
        Attributes(*once, *below),
        tuple(propagation),
        tuple(flags),
        tuple(data),
        bind,
        recursive,
        remount,
        frozenset(extensions),
    )


def _apply(bits: list[int], option: tuple[int, int]) -> None:
    wanted, unwanted = option
    bits[0] = bits[0] & ~unwanted | wanted
    bits[1] = bits[1] & ~wanted | unwanted


def known() -> list[str]:
    """Every option that has a meaning here, for the features document."""
    recursive = [f"r{name}" for name in ATTRIBUTES]
    names = {
        *ATTRIBUTES,
        *recursive,
        *PROPAGATION,
        *FILESYSTEM_FLAGS,
        *_EXTENSIONS,
        "bind",
        "rbind",
        "remount",
    }
    return sorted(names)
