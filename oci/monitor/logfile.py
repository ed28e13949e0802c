"""A container's log file: append, reopen after the kubelet's rotation, an optional size limit."""

import contextlib
import os

from oci.monitor.journal import Chunk


class LogFile:
    """An open log. Only this process writes it, so its size is counted, not asked for."""

    __slots__ = ("_identity", "descriptor", "path", "size", "size_max")

    def __init__(self, path: str, size_max: int, *, patient: bool = False) -> None:
        """Open or create ``path`` (mode 0640); ``size_max`` of 0 means no limit.

        With ``patient``, a file that cannot be opened is tried again by each :meth:`append`.

        Raises:
            OSError: the directory is missing, or the file cannot be opened.
        """
        self.path = path
        self.size_max = size_max
        self.descriptor = -1
        self.size = 0
        self._identity = (0, 0)
        try:
            self._open()
        except OSError:
            if not patient:
                raise

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = _open_or_make(self.path, flags)
        status = os.fstat(descriptor)
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = descriptor
        self.size = status.st_size
        self._identity = (status.st_dev, status.st_ino)

    def reopen(self) -> None:
        """Start a new file at the path; if that fails, the old one stays in use.

        Raises:
            OSError: the new file cannot be opened.
        """
        self._open()

    def place(self) -> tuple[int, int, int]:
        """Size, device and inode."""
        return (self.size, *self._identity)

    def make_room(self, length: int) -> None:
        """Cut the file to nothing if ``length`` more bytes would exceed the limit."""
        if self.size_max and self.size and self.size + length > self.size_max:
            os.ftruncate(self.descriptor, 0)
            self.size = 0

    def append(self, lines: bytes) -> bytes:
        """Write whole lines; what the disk did not take is returned, to be tried again.

        Of a line that was taken in part nothing stays: before the rest comes others may write, or rotate.
        """
        try:
            if self.descriptor < 0:
                self._open()
            count = os.write(self.descriptor, lines)
            if count < len(lines):
                count = lines.rfind(b"\n", 0, count) + 1
                os.ftruncate(self.descriptor, self.size + count)
        except FileNotFoundError:
            return b""  # the directory is gone, and with it whoever reads logs there
        except OSError:
            return lines
        self.size += count
        return lines[count:]

    def recover(self, chunk: Chunk, lines: bytes) -> bytes:
        """Write what a dead monitor may have written in part or not at all; returns what did not fit.

        If the log was renamed meanwhile, the renamed file is cut back and the lines go to the new one.
        """
        if chunk.log_identity == self._identity:
            if self.size > chunk.log_size:
                os.ftruncate(self.descriptor, chunk.log_size)
                self.size = chunk.log_size
        else:
            with contextlib.suppress(FileNotFoundError):
                _cut_renamed(os.path.dirname(self.path), chunk)
        return self.append(lines)

    def close(self) -> None:
        """Close; idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _open_or_make(path: str, flags: int) -> int:
    """A new log has mode 0640 under every umask: whoever collects logs may be of the directory's group."""
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o640)
    return descriptor


def _cut_renamed(directory: str, chunk: Chunk) -> None:
    """Cut the file of the chunk's identity in ``directory`` to the size that it had before the chunk."""
    for entry in os.scandir(directory):
        status = entry.stat(follow_symlinks=False)
        if (status.st_dev, status.st_ino) == chunk.log_identity and status.st_size > chunk.log_size:
            os.truncate(entry.path, chunk.log_size)
