"""User namespaces with given id maps, alone or as the owner of a pod's other namespaces (user_namespaces(7)).

unshare(CLONE_NEWUSER) is refused to a process with threads, so a helper process (userns_helper.py) makes the
namespaces and ends once they are held by a descriptor or a mount. Who owns a network or IPC namespace decides
what root inside may do with it: mount sysfs and mqueue, set its sysctls.
"""

import contextlib
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from host.namespaces import (
    Kind,
    bind_namespace,
    in_namespace,
    set_hostname,
    sysctl_path,
    sysctl_refused,
    unpin,
)

# (inside, outside, length), as in /proc/<pid>/uid_map; ids have 32 bits.
Entry = tuple[int, int, int]

TIMEOUT_S = 10.0
_HELPER = Path(__file__).with_name("userns_helper.py")


class UserNamespaceFailed(OSError):
    """The kernel refuses to make a user namespace, or its maps."""


def make_user_namespace(uids: Iterable[Entry], gids: Iterable[Entry], timeout_s: float = TIMEOUT_S) -> int:
    """A descriptor of a new user namespace.

    The caller closes it; the namespace lives as long as the descriptor or a mount of it. Takes a process
    start (15 to 20 ms) and blocks: call it in a thread.

    Raises:
        UserNamespaceFailed: no user namespaces here, or a map that the kernel refuses.
    """
    with _helper([Kind.USER], [], timeout_s) as helper:
        helper.map(uids, gids)
        return os.open(f"/proc/{helper.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def pin_owned(
    kinds: Collection[Kind],
    directory: Path,
    uids: Iterable[Entry],
    gids: Iterable[Entry],
    *,
    sysctls: Mapping[str, str] | None = None,
    hostname: str = "",
    timeout_s: float = TIMEOUT_S,
) -> Mapping[Kind, Path]:
    """As ``host.namespaces.pin``, the namespaces owned by a new user namespace, which is pinned with them.

    Takes 20 ms and blocks: call it in a thread.

    Raises:
        SysctlRefused, OSError: as ``pin``.
        UserNamespaceFailed: no user namespaces here, or a map that the kernel refuses.
    """
    named = list((sysctls or {}).items())
    assignments = [f"{sysctl_path(name, kinds)}={value}" for name, value in named]
    directory.mkdir(parents=True, exist_ok=True)
    with _helper([Kind.USER, *kinds], assignments, timeout_s) as helper, ExitStack() as undo:
        helper.map(uids, gids)
        pinned = {}
        for kind in (Kind.USER, *kinds):
            target = directory / kind
            undo.callback(unpin, target)
            bind_namespace(f"/proc/{helper.pid}/ns/{kind}", target)
            pinned[kind] = target
        if hostname and Kind.UTS in kinds:
            in_namespace(pinned[Kind.UTS], lambda: set_hostname(hostname))
        refused = helper.write_values() if named else None
        if refused is not None:
            index, number = refused
            raise sysctl_refused(*named[index], OSError(number, os.strerror(number)))
        undo.pop_all()
    return pinned


class _Helper:
    """The process and our ends of its pipes."""

    def __init__(self, pid: int, answers: int, orders: int, timeout_s: float) -> None:
        self.pid = pid
        self._answers = answers
        self._orders = orders
        self._deadline = time.monotonic() + timeout_s

    def wait_made(self) -> None:
        answer = self._answer()
        if answer != "ok":
            raise UserNamespaceFailed(int(answer), f"unshare: {os.strerror(int(answer))}")

    def map(self, uids: Iterable[Entry], gids: Iterable[Entry]) -> None:
        _write_map(self.pid, "uid_map", uids)
        _write_map(self.pid, "gid_map", gids)

    def write_values(self) -> tuple[int, int] | None:
        """None when all were taken, or the number and the errno of the one that was not."""
        os.write(self._orders, b"!")
        answer = self._answer()
        if answer == "ok":
            return None
        index, number = answer.split()
        return int(index), int(number)

    def _answer(self) -> str:
        """One line; it is short enough for the pipe to carry it whole."""
        patience = max(0.0, self._deadline - time.monotonic())
        if select.select([self._answers], [], [], patience)[0] and (line := os.read(self._answers, 64)):
            return line.decode().strip()
        raise UserNamespaceFailed(errno.ETIMEDOUT, "the helper for user namespaces died or hangs")


@contextlib.contextmanager
def _helper(kinds: Collection[Kind], assignments: Iterable[str], timeout_s: float) -> Iterator[_Helper]:
    """A process in new namespaces of ``kinds``, gone at the end of the block."""
    flags = 0
    for kind in kinds:
        flags |= kind.flag
    with ExitStack() as stack:
        given, orders = _pipe(stack)
        answers, taken = _pipe(stack)
        command = [sys.executable, "-I", "-S", str(_HELPER), str(flags), *assignments]
        actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, taken, 1)]
        pid = os.posix_spawn(sys.executable, command, {}, file_actions=actions)
        pidfd = os.pidfd_open(pid)  # which keeps it ours: host/children.py
        stack.callback(_end, pidfd)
        helper = _Helper(pid, answers, orders, timeout_s)
        helper.wait_made()
        yield helper


def _pipe(stack: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    return reading, writing


def _end(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)


def _write_map(pid: int, name: str, entries: Iterable[Entry]) -> None:
    text = "".join(f"{inside} {outside} {length}\n" for inside, outside, length in entries)
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())  # one write: the kernel takes a map once and whole
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserNamespaceFailed(error.errno, f"{name} {text!r}: {error.strerror}") from error
