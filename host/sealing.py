"""Executables that nobody can write to, whoever gets hold of them (memfd_create(2), overlayfs).

Small on purpose: the monitor and podwright-oci import it.
"""

import errno
import fcntl
import os

from host.mounts import closing_descriptor
from host.trees import new_filesystem

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_MFD_EXEC = 0x10
_ATTRIBUTES = 0x1 | 0x2 | 0x4  # ro, nosuid, nodev
_CHUNK = 1 << 20


def is_sealed() -> bool:
    """Whether this process runs such an executable."""
    with closing_descriptor(os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)) as own:
        if os.fstatvfs(own).f_flag & os.ST_RDONLY:
            return True
        try:
            return fcntl.fcntl(own, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        except OSError:
            return False


def sealed_copy(path: str) -> int:
    """A descriptor of the executable at ``path`` to be executed by /proc/self/fd.

    Raises:
        OSError: neither an overlay nor a copy can be made.
    """
    try:
        return _overlaid(path)
    except OSError:
        return _copied(path)


def _overlaid(path: str) -> int:
    """On an overlay without an upper layer, mounted nowhere: what is written there is refused."""
    directory, name = os.path.split(path)
    with closing_descriptor(new_filesystem("tmpfs", "tmpfs", ("nr_inodes=2",))) as empty:
        layers = (f"lowerdir+={directory}", f"lowerdir+=/proc/self/fd/{empty}")
        try:
            mount = new_filesystem("overlay", "podwright-oci", layers, _ATTRIBUTES)
        except OSError as error:
            if error.errno != errno.EINVAL:  # before "lowerdir+" (6.7)
                raise
            joined = (f"lowerdir={_escaped(directory)}:/proc/self/fd/{empty}",)
            mount = new_filesystem("overlay", "podwright-oci", joined, _ATTRIBUTES)
    with closing_descriptor(mount):
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=mount)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _copied(path: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create("podwright-oci", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # before 6.3 every memory file may be executed
            raise
        copy = os.memfd_create("podwright-oci", flags)
    with closing_descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as source:
        while os.sendfile(copy, source, None, _CHUNK):
            pass
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    return copy
