"""The files that a sandbox gives to its containers.

<directory>/files/   a tmpfs of bounded size: resolv.conf, hostname
<directory>/shm/     another, their /dev/shm

Containers can write to them, so they must not lie on the node's own /run: who fills such a file fills the
file system of his pod and no other.
"""

import os
import socket
from pathlib import Path

from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from host import mounts
from host.files import remove_tree

SHM_SIZE_BYTES = 64 * 1024 * 1024
# Of the tmpfs with a pod's files. No container reaches its root, where more could be made.
FILES_INODES = 32
HOST_RESOLV_CONF = Path("/etc/resolv.conf")


def hostname_of(identifier: SandboxId, config: pb.PodSandboxConfig) -> str:
    """What ``hostname`` prints in the pod: as asked for; else the node's, in its network; else the id."""
    if config.hostname:
        return config.hostname
    if config.linux.security_context.namespace_options.network == pb.NODE:
        return socket.gethostname()
    return identifier[:12]


def resolv_conf(dns: pb.DNSConfig) -> str | None:
    """resolv.conf(5) for ``dns``; None when it says nothing, and the node's own file serves."""
    lines = []
    if dns.searches:
        lines.append(f"search {' '.join(dns.searches)}")
    lines += [f"nameserver {server}" for server in dns.servers]
    if dns.options:
        lines.append(f"options {' '.join(dns.options)}")
    return "".join(line + "\n" for line in lines) or None


def place(directory: Path) -> Path:
    """Where the files of the sandbox with this directory lie; earlier versions had no tmpfs for them."""
    files = directory / "files"
    return files if files.is_dir() else directory


def make(
    directory: Path,
    identifier: SandboxId,
    config: pb.PodSandboxConfig,
    owner: tuple[int, int],
    size_bytes: int,
) -> None:
    """Make the sandbox's directory with its files, which belong to ``owner``, the uid and gid on the node of
    the pod's root, and can grow to ``size_bytes`` together; blocks for a few file operations."""
    directory.mkdir(mode=0o700, parents=True)
    files = directory / "files"
    files.mkdir(mode=0o711)
    private = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    mounts.mount_tmpfs(files, f"mode=0711,size={size_bytes},nr_inodes={FILES_INODES}", private)
    text = resolv_conf(config.dns_config)
    if text is None:
        text = HOST_RESOLV_CONF.read_text() if HOST_RESOLV_CONF.exists() else ""
    _write(files / "resolv.conf", text, owner)
    _write(files / "hostname", hostname_of(identifier, config) + "\n", owner)
    if config.linux.security_context.namespace_options.ipc != pb.NODE:
        shm = directory / "shm"
        shm.mkdir()
        uid, gid = owner
        mounts.mount_tmpfs(shm, f"mode=1777,size={SHM_SIZE_BYTES},uid={uid},gid={gid}", private)


def _write(path: Path, text: str, owner: tuple[int, int]) -> None:
    path.write_text(text)
    os.chown(path, *owner)
    path.chmod(0o644)  # the umask must not decide who may read it


def remove(directory: Path) -> None:
    """Remove what ``make`` made, whole or in part; a directory that is gone is fine."""
    for name in ("shm", "files"):
        mounts.umount_if_mounted(directory / name)
    remove_tree(directory)
