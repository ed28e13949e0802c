"""Sockets by path (unix(7), SOCK_SEQPACKET) in directories of any depth, and who is at the other end.

A socket's path has 107 bytes at most, directories have more: it is named by way of /proc/self/fd.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Callable

_CREDENTIALS = struct.Struct("3i")


def listen(path: str, backlog: int = 16) -> socket.socket:
    """Listen at ``path``, in place of the socket that a dead process left there; mode 0600."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        _by_parent(path, sock.bind)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


def dial(path: str) -> socket.socket:
    """Connect to who listens at ``path``.

    Raises:
        OSError: nobody does (ENOENT, ECONNREFUSED), or we may not.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _by_parent(path, sock.connect)
    except OSError:
        sock.close()
        raise
    return sock


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, as they were when it connected or listened."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return pid, uid


def _by_parent(path: str, do: Callable[[str], object]) -> None:
    directory, name = os.path.split(path)
    parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        do(f"/proc/self/fd/{parent}/{name}")
    finally:
        os.close(parent)
