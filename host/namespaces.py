"""Namespaces that live as files: made by a thread that then ends, pinned by a bind mount.

    <directory>/<kind>   an nsfs bind mount, e.g. <directory>/net; unmounted and unlinked by unpin()

unshare(2) and setns(2) change the calling thread only, so each of them runs in a thread of its own that
ends afterwards and never returns to a pool. Nothing forks. /proc/sys/net and the IPC entries of /proc/sys
show the namespaces of the thread that opens them, which is how sysctls of a new namespace are written.
"""

import ctypes
import errno
import os
import re
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from api.errors import InvalidArgument
from host.syscalls import libc, raise_errno

T = TypeVar("T")

_MS_BIND = 4096
_CLONE_FS = 0x200
_MNT_DETACH = 2
_PROC_SYS = Path("/proc/sys")


class Kind(StrEnum):
    """A namespace kind by its file name under /proc/<pid>/ns."""

    NET = "net"
    IPC = "ipc"
    UTS = "uts"
    CGROUP = "cgroup"
    USER = "user"  # made by host.userns: no thread can

    @property
    def flag(self) -> int:
        """The CLONE_NEW* flag that makes one."""
        return _CLONE_FLAGS[self]


_CLONE_FLAGS = {
    Kind.NET: 0x40000000,
    Kind.IPC: 0x08000000,
    Kind.UTS: 0x04000000,
    Kind.CGROUP: 0x02000000,
    Kind.USER: 0x10000000,
}

_SYSCTL_OWNERS = (
    (re.compile(r"net/.+"), Kind.NET),
    (re.compile(r"kernel/(shm|msg)[a-z_]+|kernel/sem|fs/mqueue/[a-z_]+"), Kind.IPC),
    (re.compile(r"kernel/(hostname|domainname)"), Kind.UTS),
)


class SysctlRefused(InvalidArgument):
    """This sysctl is not one of a namespace that the pod has to itself, or the kernel refused the value."""


def in_new_thread(function: Callable[[], T]) -> T:
    """Run ``function`` in a thread that is thrown away; its result or exception becomes ours."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:  # handed to the waiting thread, which raises it
            errors.append(error)

    thread = threading.Thread(target=body, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def in_namespace(namespace: int | os.PathLike[str] | str, function: Callable[[], T]) -> T:
    """Run ``function`` in a throw-away thread that has joined ``namespace`` (a descriptor or an nsfs file).

    Sockets that ``function`` opens stay in that namespace wherever they are used later.

    Raises:
        OSError: the namespace cannot be opened or joined; anything that ``function`` raises.
    """

    def joined() -> T:
        if isinstance(namespace, int):
            set_namespace(namespace)
        else:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                set_namespace(descriptor)
            finally:
                os.close(descriptor)
        return function()

    return in_new_thread(joined)


def pin(
    kinds: Collection[Kind],
    directory: Path,
    *,
    sysctls: Mapping[str, str] | None = None,
    hostname: str = "",
) -> Mapping[Kind, Path]:
    """Make new namespaces of ``kinds``, pinned as ``directory/<kind>``; a failure leaves none of them.

    ``sysctls`` (dotted or slashed names) are written inside; each must belong to one of ``kinds``.
    ``hostname`` is set when ``kinds`` has UTS. Blocks for a millisecond or two: call it off the event loop.

    Raises:
        SysctlRefused: a name outside ``kinds``, unknown to the kernel, or a value that it refuses.
        OSError: a system call failed.
    """
    settings = {sysctl_path(name, kinds): (name, value) for name, value in (sysctls or {}).items()}
    directory.mkdir(parents=True, exist_ok=True)

    def make() -> Mapping[Kind, Path]:
        unshare(kinds)
        for path, (name, value) in settings.items():
            _write_sysctl(path, name, value)
        if hostname and Kind.UTS in kinds:
            set_hostname(hostname)
        with ExitStack() as undo:
            pinned = {}
            for kind in kinds:
                target = directory / kind
                undo.callback(unpin, target)
                bind_namespace(f"/proc/thread-self/ns/{kind}", target)
                pinned[kind] = target
            undo.pop_all()
        return pinned

    return in_new_thread(make)


def unpin(path: Path) -> None:
    """Unmount and unlink a pinned namespace; one that is gone already is fine."""
    while libc.umount2(os.fsencode(path), _MNT_DETACH) == 0:
        pass
    number = ctypes.get_errno()
    if number not in (22, 2):  # EINVAL: not a mount (any more); ENOENT: no such file
        raise_errno("umount2", path)
    path.unlink(missing_ok=True)


def is_pinned(path: Path) -> bool:
    """Whether ``path`` is an nsfs mount and so a namespace that still lives."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def identity(path: os.PathLike[str] | str) -> tuple[int, int]:
    """Device and inode of a namespace file: equal for two files exactly if they are one namespace."""
    status = Path(path).stat()
    return status.st_dev, status.st_ino


def sysctl_path(name: str, kinds: Collection[Kind]) -> Path:
    """The /proc/sys file of a sysctl that belongs to one of ``kinds``.

    As in sysctl(8) the first separator decides: ``net.ipv4.conf.eth0/1.arp_filter`` and
    ``net/ipv4/conf/eth0.1/arp_filter`` name the same file.

    Raises:
        SysctlRefused: the sysctl is not namespaced, or of a namespace that the pod shares with the host.
    """
    first = re.search(r"[./]", name)
    slashed = name.translate(str.maketrans("./", "/.")) if first and first.group() == "." else name
    parts = slashed.split("/")
    if "" in parts or "." in parts or ".." in parts or "\0" in name:
        raise SysctlRefused(f"{name!r} is not the name of a sysctl")
    for pattern, kind in _SYSCTL_OWNERS:
        if pattern.fullmatch(slashed):
            if kind in kinds:
                return _PROC_SYS / slashed
            raise SysctlRefused(
                f"sysctl {name} needs a {kind} namespace of the pod's own, but it has the host's"
            )
    raise SysctlRefused(f"sysctl {name} is not namespaced: it would change the whole node")


def unshare(kinds: Collection[Kind]) -> None:
    """unshare(2) for the calling thread; only for threads that end afterwards."""
    flags = 0
    for kind in kinds:
        flags |= kind.flag
    if libc.unshare(flags) < 0:
        raise_errno("unshare", ",".join(sorted(kinds)))


def unshare_file_attributes() -> None:
    """Give the calling thread a umask, root and working directory of its own; only for threads that end
    afterwards."""
    if libc.unshare(_CLONE_FS) < 0:
        raise_errno("unshare", "fs")


def set_namespace(descriptor: int) -> None:
    """setns(2) for the calling thread; only for threads that end afterwards."""
    if libc.setns(descriptor, 0) < 0:
        raise_errno("setns")


def set_hostname(name: str) -> None:
    """sethostname(2) in the calling thread's UTS namespace."""
    encoded = name.encode()
    if libc.sethostname(encoded, len(encoded)) < 0:
        raise_errno("sethostname", name)


def bind_namespace(source: str, target: Path) -> None:
    """Pin the namespace that ``source`` below /proc shows as the new file ``target``."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
    if libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None) < 0:
        raise_errno("mount", target)


def _write_sysctl(path: Path, name: str, value: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise sysctl_refused(name, value, error) from error


def sysctl_refused(name: str, value: str, error: OSError) -> SysctlRefused:
    """What to tell of the kernel's refusal."""
    if error.errno == errno.ENOENT:
        return SysctlRefused(f"sysctl {name} does not exist on this kernel")
    return SysctlRefused(f"sysctl {name} = {value!r}: {error.strerror}")
