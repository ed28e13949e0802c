"""A container's log file: append, reopen after the kubelet's rotation, an optional size limit.

A container may own a part of the way to its log (a hostPath): no symbolic link is followed anywhere on it,
and what is there must be a regular file. Every method may block for as long as the file system likes.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from host.openat2 import open_without_links
from oci.monitor.journal import Place, Slot

_MODE = 0o640


class LogFile:
    """An open log. Only this process writes it, so its size is counted, not asked for.

    It is not open while it cannot be, or has a part of a line that is to be taken back.
    """

    __slots__ = ("_identity", "_torn", "descriptor", "path", "size", "size_max")

    def __init__(self, path: str, size_max: int, *, patient: bool = False) -> None:
        """Open or create ``path`` (absolute, mode 0640); ``size_max`` of 0 means no limit.

        With ``patient``, a file that cannot be opened is tried again by each :meth:`append`.

        Raises:
            OSError: the directory is missing, or the file cannot be opened or is none.
        """
        self.path = path
        self.size_max = size_max
        self.descriptor = -1
        self.size = 0
        self._identity = (0, 0)
        self._torn: list[tuple[Place, Callable[[], None]]] = []
        try:
            self._open()
        except OSError:
            if not patient:
                raise

    def _open(self) -> None:
        descriptor = _open_regular(self.path)
        status = os.fstat(descriptor)
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = descriptor
        self.size = status.st_size
        self._identity = (status.st_dev, status.st_ino)
        self._mend()

    def reopen(self) -> None:
        """Start a new file at the path; if that fails, the old one stays in use.

        Raises:
            OSError: the new file cannot be opened.
        """
        self._open()

    @property
    def is_open(self) -> bool:
        """Whether the next try writes to :meth:`place`."""
        return self.descriptor >= 0

    @property
    def is_torn(self) -> bool:
        """Whether something could not be taken back yet; then it is not open."""
        return bool(self._torn)

    def place(self) -> Place:
        """Size, device and inode."""
        return (self.size, *self._identity)

    def exceeds(self, length: int) -> bool:
        """Whether ``length`` more bytes would exceed the limit."""
        return bool(self.size_max and self.size and self.size + length > self.size_max)

    def cut(self) -> None:
        """Begin the file anew."""
        os.ftruncate(self.descriptor, 0)
        self.size = 0

    def append(self, lines: bytes, slot: Slot | None = None) -> bytes:
        """Write whole lines; what the disk did not take is returned, to be tried again.

        Of a line that was taken in part nothing stays: before the rest comes others may write, or rotate.
        If the log was not open, the ``slot`` is told its place before the first byte is written.
        """
        try:
            if self.descriptor < 0:
                self._open()
                if slot is not None:
                    slot.again(self.place())
            count = os.write(self.descriptor, lines)
        except FileNotFoundError:
            self._forget_torn()
            return b""  # the directory is gone, and with it whoever reads logs there
        except OSError:
            return lines
        if count < len(lines):
            return self._keep_whole_lines(lines, count, slot)
        self.size += count
        return b""

    def _keep_whole_lines(self, lines: bytes, written: int, slot: Slot | None) -> bytes:
        place = self.place()
        count = lines.rfind(b"\n", 0, written) + 1
        self.size += written
        try:
            os.ftruncate(self.descriptor, place[0] + count)
        except OSError:
            self.take_back(place, slot.mended if slot is not None else lambda: None)
            return lines
        self.size = place[0] + count
        return lines[count:]

    def take_back(self, place: Place, then: Callable[[], None]) -> None:
        """Take back what may have been written in part by a try that began at ``place``; then call ``then``.

        Until that has been possible, nothing is written here: it would be cut off too. If the log was renamed
        meanwhile, the renamed file is cut.
        """
        self._torn.append((place, then))
        with contextlib.suppress(OSError):
            self._mend()

    def _mend(self) -> None:
        try:
            while self._torn:
                place, then = self._torn[0]
                self._cut_back(place)
                then()
                del self._torn[0]
        except OSError:
            self.close()  # whoever opens it again comes here again
            self.size, self._identity = 0, (0, 0)
            raise

    def _cut_back(self, place: Place) -> None:
        size, *identity = place
        if tuple(identity) != self._identity:
            with contextlib.suppress(FileNotFoundError):
                _cut_renamed(os.path.dirname(self.path), place)
        elif self.size > size:
            os.ftruncate(self.descriptor, size)
            self.size = size

    def _forget_torn(self) -> None:
        for _, then in self._torn:
            then()
        self._torn.clear()

    def close(self) -> None:
        """Close; idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _open_regular(path: str) -> int:
    """Open a regular file for appending, new or old; anything else is not even opened."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    try:
        made = open_without_links(path, flags | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        found = open_without_links(path, os.O_PATH)
    else:
        os.fchmod(made, _MODE)  # whatever the umask
        return made
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "not a regular file, which a log has to be", path)
        return os.open(f"/proc/self/fd/{found}", flags)  # that very file
    finally:
        os.close(found)


def _cut_renamed(directory: str, place: Place) -> None:
    """Cut the file of this identity in ``directory`` to this size."""
    descriptor = open_without_links(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in os.listdir(descriptor):
            with contextlib.suppress(FileNotFoundError):  # that one; it may be removed just now
                found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
                _cut_if_it_is(place, found)
    finally:
        os.close(descriptor)


def _cut_if_it_is(place: Place, found: int) -> None:
    """Cut the file behind ``found`` (by O_PATH; it is closed) if it is the one."""
    size, *identity = place
    try:
        status = os.fstat(found)
        if [status.st_dev, status.st_ino] == identity and status.st_size > size:
            os.truncate(f"/proc/self/fd/{found}", size)
    finally:
        os.close(found)
