"""Cgroup, namespaces, ids, keyring, network: what comes before the root file system."""

import contextlib
import errno
import fcntl
import os
import socket
import struct

from host.clone import CLONE_NEWTIME, CLONE_NEWUSER, fork, join, unshare
from host.fds import close_all
from host.keyrings import join_session_keyring
from host.procfs import read_in, write_in
from host.spawn import prctl
from oci.run.operations import (
    AwaitMaps,
    BecomeRootInside,
    JoinCgroup,
    JoinNamespaces,
    LoopbackUp,
    NewTimeNamespace,
    Rebirth,
    RememberCgroups,
    SessionKeyring,
    Unshare,
)
from oci.run.perform.context import Context
from oci.run.process_operations import SetAffinity

_PR_SET_DUMPABLE = 4
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def join_cgroup(_: JoinCgroup, context: Context) -> None:
    if context.cgroup_files is None:
        context.ask("cgroup")
        return
    for descriptor in context.cgroup_files:
        os.write(descriptor, b"0")
    close_all(context.cgroup_files)


def remember_cgroups(operation: RememberCgroups, context: Context) -> None:
    del operation
    remember_cgroups_of("self", context)


def remember_cgroups_of(process: str, context: Context) -> None:
    """Note the cgroups of a process (its number below the private procfs, or ``self``)."""
    for line in read_in(context.procfs, f"{process}/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        context.cgroups.append((controllers, path))


def join_namespaces(operation: JoinNamespaces, _: Context) -> None:
    opened: list[tuple[int, int, str]] = []
    try:
        for kind, path in operation.namespaces:
            opened.append((kind, os.open(path, os.O_RDONLY | os.O_CLOEXEC), path))
        left = [one for one in opened if one[0] != CLONE_NEWUSER and not _try_join(one)]
        for one in opened:
            if one[0] == CLONE_NEWUSER:
                _join(one)
                become_root_inside(BecomeRootInside(), _)
        for one in left:
            _join(one)
    finally:
        close_all(descriptor for _kind, descriptor, _path in opened)


def _join(one: tuple[int, int, str]) -> None:
    try:
        join(one[1], one[0])
    except OSError as error:
        raise OSError(error.errno, error.strerror, one[2]) from None


def _try_join(one: tuple[int, int, str]) -> bool:
    """False when only root of another user namespace may."""
    try:
        _join(one)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        return False
    return True


def unshare_namespaces(operation: Unshare, _: Context) -> None:
    unshare(operation.flags)
    prctl(_PR_SET_DUMPABLE, 0)  # a new user namespace may have made it otherwise


def await_maps(_: AwaitMaps, context: Context) -> None:
    context.ask("maps")


def become_root_inside(_: BecomeRootInside, __: Context) -> None:
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    with contextlib.suppress(PermissionError):  # /proc/PID/setgroups denies it
        os.setgroups([])
    prctl(_PR_SET_DUMPABLE, 0)


def new_time_namespace(operation: NewTimeNamespace, context: Context) -> None:
    unshare(CLONE_NEWTIME)
    if operation.offsets:
        context.ask("clocks")


def rebirth(operation: Rebirth, context: Context) -> None:
    pid, pidfd = fork(operation.flags, sibling=True)
    if pid:
        context.tell({"reborn": pid}, (pidfd,))
        os._exit(0)
    os.setsid()
    prctl(_PR_SET_DUMPABLE, 0)


def set_affinity(operation: SetAffinity, _: Context) -> None:
    processors = operation.processors or range(os.cpu_count() or 1)
    try:
        os.sched_setaffinity(0, processors)
    except OSError:
        if operation.processors:
            raise


def session_keyring(operation: SessionKeyring, context: Context) -> None:
    if operation.label:
        write_in(context.procfs, "self/attr/keycreate", operation.label)
    join_session_keyring(operation.name, operation.permissions)
    if operation.label:
        write_in(context.procfs, "self/attr/keycreate", "\0")


def loopback_up(_: LoopbackUp, __: Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("16sH", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
