"""Files that a crash leaves whole or not at all, reads with a limit, and trees removed without surprises.

The rule for anything that must outlive a power cut: write a temporary in the same directory, sync it,
rename it over the name, sync the directory.
"""

import contextlib
import ctypes
import errno
import os
import stat
from pathlib import Path

from api.errors import ResourceExhausted
from host.openat2 import RESOLVE_BENEATH as RESOLVE_BENEATH
from host.openat2 import RESOLVE_IN_ROOT as RESOLVE_IN_ROOT
from host.openat2 import RESOLVE_NO_MAGICLINKS as RESOLVE_NO_MAGICLINKS
from host.openat2 import RESOLVE_NO_SYMLINKS as RESOLVE_NO_SYMLINKS
from host.openat2 import RESOLVE_NO_XDEV as RESOLVE_NO_XDEV
from host.openat2 import openat2 as openat2
from host.syscalls import libc, raise_errno

_FALLOC_FL_KEEP_SIZE = 0x01

# Directories nested deeper than this are renamed to the top before they are emptied, so that neither
# the descriptor table nor the stack bounds the depth that can be removed.
_FLATTEN_DEPTH = 64
_TEMPORARY = ".tmp"


class BudgetSpent(Exception):
    """There is more to remove than was allowed for; what is left can be removed by another call."""


class Budget:
    """How many entries may be removed, over as many calls as it is given to."""

    def __init__(self, entries: int) -> None:
        self._left = entries

    def spend(self) -> None:
        """Before an entry is removed.

        Raises:
            BudgetSpent: that would be one too many.
        """
        if not self._left:
            raise BudgetSpent
        self._left -= 1


class FileTooLarge(ResourceExhausted):
    """A file holds more bytes than its reader accepts."""


def write_atomic(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace ``path`` by a file holding ``data``: readers see the old or the new content, never a part.

    With ``durable`` the content is on disk before the name is, and the name before this returns.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{_TEMPORARY}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            os.fchmod(descriptor, mode)
            _write_all(descriptor, data)
            if durable:
                os.fsync(file)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def preallocate(path: Path, size_bytes: int) -> None:
    """Have blocks for the first ``size_bytes`` of ``path``, which exists, without changing its size.

    A saving only: where the file system cannot or is full, nothing happens.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            length = ctypes.c_long(size_bytes)
            libc.fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), length)
        finally:
            os.close(descriptor)


def remove_temporaries(directory: Path) -> None:
    """Remove what write_atomic left in ``directory`` when its process was killed; absent is fine.

    For the start of the only process that writes there: it would take away what another is writing.
    """
    for path in directory.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_bounded(path: Path, limit: int) -> bytes:
    """All bytes of ``path``.

    Raises:
        FileTooLarge: there are more than ``limit``.
        OSError: as open(2) and read(2), and for a FIFO, which might be waited for without end.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is a FIFO", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileTooLarge(f"{path} holds more than the {limit} bytes accepted here")
    return data


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Write everything that the filesystem holding ``path`` still buffers to disk (syncfs)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.syncfs(descriptor) < 0:
            raise_errno("syncfs", path)
    finally:
        os.close(descriptor)


def rename_durable(source: Path, target: Path) -> None:
    """Rename and make both directories durable; what ``source`` holds must have been synced before."""
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def remove_tree(path: Path, budget: Budget | None = None) -> None:
    """Remove ``path`` and all below it; what is not there is no error.

    Symbolic links are removed, not followed, and a mount point inside (a bind mount of the same
    filesystem too) raises EXDEV before anything behind it is touched. Depth is not limited.

    Raises:
        BudgetSpent: it holds more than ``budget`` allows; some of it is gone.
    """
    try:
        parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        remove_tree_at(parent, path.name, path, budget)
    finally:
        os.close(parent)


def remove_tree_at(parent: int, name: str, shown: Path | None = None, budget: Budget | None = None) -> None:
    """The same for ``name`` in an open directory; errors show it as ``shown``."""
    with contextlib.suppress(FileNotFoundError):
        _remove_entry(parent, name, shown or Path(name), budget)


def _remove_entry(parent: int, name: str, shown: Path, budget: Budget | None) -> None:
    if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    top = _open_child(parent, name, shown)
    try:
        while _empty_directory(top, top, 0, shown, budget):
            pass  # what was flattened to the top is next
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty_directory(top: int, directory: int, depth: int, shown: Path, budget: Budget | None) -> bool:
    """Remove the entries of ``directory``; True when some were moved to ``top`` instead."""
    moved = False
    with os.scandir(directory) as entries:
        children = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in children:
        if budget is not None:
            budget.spend()
        if not is_directory:
            os.unlink(name, dir_fd=directory)
        elif depth >= _FLATTEN_DEPTH:
            os.rename(name, f".flat-{os.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=top)
            moved = True
        else:
            child = _open_child(directory, name, shown)
            try:
                moved |= _empty_directory(top, child, depth + 1, shown, budget)
            finally:
                os.close(child)
            os.rmdir(name, dir_fd=directory)
    return moved


def _open_child(parent: int, name: str, shown: Path) -> int:
    try:
        return openat2(
            parent,
            name,
            os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW,
            resolve=RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
        )
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(
                errno.EXDEV, f"will not remove through the mount point {name!r}", str(shown)
            ) from error
        raise
