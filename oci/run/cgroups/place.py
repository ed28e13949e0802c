"""One directory of one hierarchy. Nothing in it leads elsewhere: names are resolved beneath the mounted root,
without links and without other mounts (openat2(2)), so a path that others may touch is never trusted."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host.cgroups import REMOVE_TRIES, CgroupBusy, Tree
from host.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from oci.run.cgroups.types import BadResources

_WITHIN = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_FILE_SIZE = 65536
_REMOVE_TRIES = 280
_GONE = (errno.ENOENT, errno.ENODEV)


@dataclass(frozen=True, slots=True)
class Place:
    """``path`` below the root of ``tree``, without a slash at either end; "" is the root, only ever read."""

    tree: Tree
    path: str

    @property
    def directory(self) -> Path:
        """For messages, and for those that open it by name."""
        return self.tree.root / self.path

    def read(self, name: str) -> str | None:
        """The stripped text of a file; None when there is none or it cannot be read."""
        try:
            with self._open(_plain(name), os.O_RDONLY) as file:
                return os.read(file, _FILE_SIZE).decode().strip()
        except OSError:
            return None

    def write(self, name: str, text: str) -> None:
        """Each line by a write(2) of its own, as the kernel wants them.

        Raises:
            OSError: the kernel's.
        """
        with self._open(_plain(name), os.O_WRONLY) as file:
            for line in text.split("\n"):
                os.write(file, line.encode())

    def exists(self) -> bool:
        """Whether the directory is there."""
        try:
            with self.opened():
                return True
        except OSError:
            return False

    def make(self) -> bool:
        """Make the directory; whether it is new.

        Raises:
            OSError: among others FileNotFoundError, when its parent is missing.
        """
        parent, _, name = self.path.rpartition("/")
        with _opened(self.tree.root, parent, _DIRECTORY) as above:
            try:
                os.mkdir(name, 0o755, dir_fd=above)
            except FileExistsError:
                return False
        return True

    def above(self) -> "Place":
        """The directory above, which may be the root."""
        return Place(self.tree, self.path.rpartition("/")[0])

    def parent(self) -> "Place | None":
        """The directory above; None for one right below the root."""
        above = self.above()
        return above if above.path else None

    def pids(self) -> set[int]:
        """The processes in it and below."""
        found: set[int] = set()
        for path in self.below():
            text = Place(self.tree, path).read("cgroup.procs") or ""
            found.update(int(word) for word in text.split() if word != "0")
        return found

    def below(self) -> list[str]:
        """The paths of its directories, deepest first, its own the last; none when it is gone."""
        found: list[str] = []
        try:
            with self.opened() as directory, os.scandir(directory) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return found
        for name in names:
            found += Place(self.tree, f"{self.path}/{name}").below()
        return [*found, self.path]

    def remove(self) -> None:
        """Remove it and what is below; a cgroup stays busy for a moment after its last process.

        Raises:
            CgroupBusy: it still has processes after about a second, or the kernel has not done with them
                after ten.
        """
        for attempt in range(_REMOVE_TRIES):
            if self._removed():
                return
            if attempt > REMOVE_TRIES and self.pids():
                break
            time.sleep(min(0.001 * (attempt + 1), 0.04))
        raise CgroupBusy(f"cgroup {self.directory} still holds processes {sorted(self.pids())[:10]}")

    def _removed(self) -> bool:
        for path in self.below() or [self.path]:
            parent, _, name = path.rpartition("/")
            try:
                with _opened(self.tree.root, parent, _DIRECTORY) as above:
                    os.rmdir(name, dir_fd=above)
            except OSError as error:
                if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
                    return False
                if error.errno not in _GONE:
                    raise
        return True

    def give(self, uid: int, names: list[str]) -> None:
        """Make ``uid`` the owner of the directory and of the files ``names`` that are there."""
        with self.opened() as directory:
            os.fchown(directory, uid, -1)
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # some files cannot be opened for reading
                    os.chown(_plain(name), uid, -1, dir_fd=directory, follow_symlinks=False)

    def opened(self) -> contextlib.AbstractContextManager[int]:
        """A descriptor of the directory."""
        return self._open("", _DIRECTORY)

    def _open(self, name: str, flags: int) -> contextlib.AbstractContextManager[int]:
        return _opened(self.tree.root, f"{self.path}/{name}".strip("/"), flags)


@contextlib.contextmanager
def _opened(root: Path, path: str, flags: int) -> Iterator[int]:
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = openat2(top, path, flags, resolve=_WITHIN)
    finally:
        os.close(top)
    try:
        yield found
    finally:
        os.close(found)


def _plain(name: str) -> str:
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise BadResources(f"{name!r} is not the name of a cgroup's file")
    return name
