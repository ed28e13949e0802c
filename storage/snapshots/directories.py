"""Layers as directories, the form that overlayfs stacks without more ado.

<layer>/diff    the tree
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from host.files import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from storage.unpacker import Unpacked


class Directories:
    """See storage.snapshots.protocol.Snapshots."""

    def begin(self, scratch: Path) -> Path:
        """See there."""
        tree = self.tree(scratch)
        tree.mkdir(mode=0o700)
        # The archive's own entry for the root decides its mode; without one it is an ordinary directory.
        tree.chmod(0o755)
        return tree

    def complete(self, scratch: Path, unpacked: Unpacked, below: Sequence[Path]) -> None:
        """See there."""
        describe_implied(self.tree(scratch), unpacked.implied, [self.tree(layer) for layer in below])

    def tree(self, layer: Path) -> Path:
        """See there."""
        return layer / "diff"

    def is_whole(self, layer: Path) -> bool:
        """See there."""
        return self.tree(layer).is_dir()

    def lower(self, layers: Sequence[Path]) -> list[Path]:
        """See there; who mounts them finds out whether they are gone."""
        return [self.tree(layer) for layer in layers]

    def release(self, layer: Path) -> None:
        """Nothing is held."""


def describe_implied(tree: Path, implied: Iterable[str], lower: Sequence[Path]) -> None:
    """Give directories that an archive used and did not describe the owner, mode and time they have below.

    Without this a layer with ``tmp/x`` and no ``tmp/`` would hide the sticky bit of the base's /tmp.
    ``lower`` is bottom first.
    """
    with contextlib.ExitStack() as stack:
        roots = [_open_root(stack, path) for path in reversed(lower)]
        top = _open_root(stack, tree)
        for path in implied:
            found = _find_directory(roots, path)
            if found is not None:
                _describe(top, path, found)


def _open_root(stack: contextlib.ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def _find_directory(roots: Iterable[int], path: str) -> os.stat_result | None:
    """What the uppermost layer that knows ``path`` says of it; None when that is no directory."""
    for root in roots:
        try:
            found = _stat_below(root, path)
        except FileNotFoundError:
            continue
        except OSError:
            return None  # a whiteout, file or link stands in the way
        return found if stat.S_ISDIR(found.st_mode) else None
    return None


def _stat_below(root: int, path: str) -> os.stat_result:
    descriptor = openat2(root, path, os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _describe(root: int, path: str, like: os.stat_result) -> None:
    try:
        descriptor = openat2(
            root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        )
    except OSError:
        return  # a later entry of the archive replaced it
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        os.utime(descriptor, ns=(like.st_mtime_ns, like.st_mtime_ns))
    finally:
        os.close(descriptor)
