"""A user namespace with given id maps, held by a descriptor (user_namespaces(7)).

unshare(CLONE_NEWUSER) is refused to a process with threads, so a helper process makes the namespace, waits
while its maps are written from outside, and ends once the descriptor is held.
"""

import os
import select
import signal
import sys
from collections.abc import Iterable

_HELPER = """
import ctypes, os
r = ctypes.CDLL(None, use_errno=True).unshare(0x10000000)
os.write(1, b"y" if r == 0 else b"n")
os.read(0, 1)
"""


class UserNamespaceFailed(OSError):
    """The kernel refuses to make a user namespace, or its maps."""


def make_user_namespace(
    uids: Iterable[tuple[int, int, int]], gids: Iterable[tuple[int, int, int]], timeout_s: float = 5.0
) -> int:
    """A descriptor of a new user namespace; maps are (inside, outside, length) as in /proc/<pid>/uid_map.

    The caller closes it; the namespace lives as long as the descriptor or a mount of it. Takes a process
    start (10 to 20 ms) and blocks: call it in a thread.

    Raises:
        UserNamespaceFailed: no user namespaces here, or a map that the kernel refuses.
    """
    from_child, child_out = os.pipe2(os.O_CLOEXEC)
    child_in, to_child = os.pipe2(os.O_CLOEXEC)
    pid = 0
    try:
        pid = _spawn(child_in, child_out)
        os.close(child_out)
        child_out = -1
        if not select.select([from_child], [], [], timeout_s)[0] or os.read(from_child, 1) != b"y":
            raise UserNamespaceFailed("no user namespace could be made")
        _write_map(pid, "uid_map", uids)
        _write_map(pid, "gid_map", gids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (from_child, child_out, child_in, to_child):
            if descriptor >= 0:
                os.close(descriptor)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _spawn(stdin: int, stdout: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1)]
    command = [sys.executable, "-I", "-S", "-c", _HELPER]
    return os.posix_spawn(sys.executable, command, {}, file_actions=actions)


def _write_map(pid: int, name: str, entries: Iterable[tuple[int, int, int]]) -> None:
    text = "".join(f"{inside} {outside} {length}\n" for inside, outside, length in entries)
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())  # one write: the kernel takes a map once and whole
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserNamespaceFailed(error.errno, f"{name} {text!r}: {error.strerror}") from error
