"""The descriptors that a runtime command is started on: pipes, a console socket, or what the daemon sent."""

import os
from collections.abc import Mapping

from host.fds import close_all
from host.pty import ConsoleSocket

STREAMS = ("stdin", "stdout", "stderr")


class Stdio:
    """Three descriptors for the command, and the ends that we keep.

    ``kept`` has our ends by name. With a console, the command's own stderr comes by ``errors``; without,
    a runtime that fails has written into the container's stderr pipe, which is ``errors`` then.
    """

    def __init__(self, owner: tuple[int, int] | None = None) -> None:
        """Nothing yet; see the functions below. Pipes belong to ``owner`` (uid, gid), None for ourselves."""
        self._owner = owner
        self.given: list[int] = []
        self.kept: dict[str, int] = {}
        self.errors: int | None = None
        self._console: ConsoleSocket | None = None
        self._own_errors = False

    def listen_for_console(self, path: str) -> None:
        """Expect the master end of a console on a socket at ``path``."""
        self._console = ConsoleSocket(path)

    def add_null(self) -> None:
        """The next descriptor is /dev/null."""
        self.given.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))

    def add_input(self, name: str) -> None:
        """The next descriptor is the reading end of a pipe; the other is kept, non-blocking: who writes to it
        must not wait for a process that does not read."""
        reading, writing = self._pipe()
        os.set_blocking(writing, False)
        self.given.append(reading)
        self.kept[name] = writing

    def add_output(self, name: str) -> int:
        """The next descriptor is the writing end of a pipe; the other is kept, non-blocking, and given."""
        reading, writing = self._pipe()
        os.set_blocking(reading, False)
        self.given.append(writing)
        self.kept[name] = reading
        return reading

    def _pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        if self._owner is not None:
            os.fchown(writing, *self._owner)  # the ends are one inode
        return reading, writing

    def add_errors(self) -> None:
        """The next descriptor is a pipe for the command's own words only."""
        self.errors = self.add_output("errors")
        del self.kept["errors"]
        self._own_errors = True

    def started(self) -> None:
        """The command has its copies: close ours."""
        close_all(self.given)
        self.given.clear()

    def take_console(self) -> None:
        """The command has succeeded: keep the console's master end that it sent.

        Raises:
            OSError: it sent none.
        """
        if self._console is not None:
            self.kept["console"] = self._console.receive()

    def take_kept(self) -> dict[str, int]:
        """Our ends, now the caller's."""
        kept, self.kept = self.kept, {}
        return kept

    def close(self) -> None:
        """Close everything that was not taken. Idempotent."""
        self.started()
        close_all(self.kept.values())
        self.kept.clear()
        if self.errors is not None and self._own_errors:
            close_all([self.errors])
        self.errors = None
        if self._console is not None:
            self._console.close()


def for_command() -> Stdio:
    """No input, no output, the command's own words kept."""
    stdio = Stdio()
    stdio.add_null()
    stdio.add_null()
    stdio.add_errors()
    return stdio


def for_container(*, stdin: bool, console_socket: str | None, owner: tuple[int, int] | None = None) -> Stdio:
    """What ``create`` is started on: a console, or pipes that become the container's, and ``owner``'s: who
    opens /dev/stdout anew must be allowed to."""
    stdio = for_command() if console_socket is not None else Stdio(owner)
    try:
        if console_socket is not None:
            stdio.listen_for_console(console_socket)
            return stdio
        if stdin:
            stdio.add_input("stdin")
        else:
            stdio.add_null()
        stdio.add_output("stdout")
        stdio.errors = stdio.add_output("stderr")
    except BaseException:
        stdio.close()
        raise
    return stdio


def for_exec(streams: Mapping[str, int], console_socket: str | None) -> Stdio:
    """What ``exec`` is started on: a console, or the daemon's descriptors (taken over), or /dev/null."""
    if console_socket is not None:
        close_all(streams.values())
        return for_container(stdin=False, console_socket=console_socket)
    stdio = Stdio()
    for name in STREAMS:
        if name in streams:
            stdio.given.append(streams[name])
        else:
            stdio.add_null()
    return stdio
