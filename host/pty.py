"""Terminals: window sizes, and the console socket by which an OCI runtime hands over a pty's master end.

The console socket is a SOCK_STREAM listener given as ``--console-socket``; the runtime connects once and
sends one message with one descriptor (runc docs/terminals.md). No pathlib: the monitor imports this.
"""

import fcntl
import os
import socket
import struct
import termios
from typing import Self

from host.fds import close_all, receive_message

_PAYLOAD_LIMIT = 4096  # the text that comes along is the pty's name


class ConsoleSocket:
    """A listening console socket; ``fileno()`` turns readable when :meth:`receive` may be called."""

    def __init__(self, path: str) -> None:
        """Bind ``path``, which must not exist and holds at most 107 bytes (unix(7))."""
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._listener.bind(path)
            os.chmod(path, 0o600)
            self._listener.listen(1)
            self._listener.setblocking(False)
        except OSError:
            self._listener.close()
            raise

    def fileno(self) -> int:
        """The listening descriptor."""
        return self._listener.fileno()

    def receive(self, timeout_s: float = 1.0) -> int:
        """Accept the runtime's connection and give the master's descriptor (close-on-exec, ours to close).

        Raises:
            BlockingIOError: nobody has connected yet.
            OSError: the runtime connected but sent no descriptor within ``timeout_s``.
        """
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(timeout_s)
            _, descriptors = receive_message(connection, _PAYLOAD_LIMIT)
        if len(descriptors) != 1:
            close_all(descriptors)
            raise OSError(f"console socket {self.path}: {len(descriptors)} descriptors instead of 1")
        return descriptors[0]

    def close(self) -> None:
        """Stop listening and remove the socket file; idempotent."""
        self._listener.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def set_window_size(descriptor: int, width: int, height: int) -> None:
    """Set columns and rows of a terminal (either end); its foreground group gets SIGWINCH if they change."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def window_size(descriptor: int) -> tuple[int, int]:
    """Columns and rows of a terminal."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    return columns, rows
