"""Copies of mounts with attributes that a bind mount cannot have: mapped ids, read-only all the way down.

The copy is made detached and attached when it is complete (mount_setattr(2), "ID-mapped mounts"), so nobody
sees it half done. The files behind it stay as they are.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from host.mounts import (
    MNT_DETACH,
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    UMOUNT_NOFOLLOW,
    StrPath,
    closing_descriptor,
    mount_setattr,
    move_mount,
    open_tree,
    umount_if_mounted,
)


def attach_copy(
    source: StrPath,
    target: Path,
    *,
    userns: int | None = None,
    readonly: bool = False,
    private: bool = True,
    recursive: bool = True,
) -> None:
    """Attach a copy of the mount tree at ``source`` on ``target``, which is a directory or file like it.

    ``userns`` (a descriptor) maps the ids of the topmost mount: what belongs to id n on disk belongs to what
    n inside of that namespace is outside. Mounts below it keep theirs, as runtime-spec's ``idmap`` has it.
    ``readonly`` holds for the whole tree. A tree that is not ``private`` still sees the mounts that its
    source gets.

    Raises:
        OSError: EINVAL if the file system cannot be mounted with mapped ids, EPERM if it is so already.
    """
    with closing_descriptor(open_tree(source, clone=True, recursive=recursive)) as tree:
        if userns is not None:
            mount_setattr(tree, attributes_set=MOUNT_ATTR_IDMAP, userns=userns)
        if readonly:
            mount_setattr(tree, attributes_set=MOUNT_ATTR_RDONLY, recursive=True)
        if private:
            mount_setattr(tree, propagation=MS_PRIVATE, recursive=True)
        move_mount(tree, target)


def detach_copy(target: Path) -> None:
    """Take the copy away with all that is mounted on it, and the place it was at; gone already is fine.

    Nothing is deleted through a mount: a directory is removed only when it is empty.
    """
    unmount_copy(target)
    with contextlib.suppress(FileNotFoundError):
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink()


def unmount_copy(target: Path) -> None:
    """Take the copy away with all that is mounted on it; gone already is fine."""
    while umount_if_mounted(target, UMOUNT_NOFOLLOW | MNT_DETACH):
        pass


@contextlib.contextmanager
def mapped_copies(sources: Sequence[Path], directory: Path, userns: Path) -> Iterator[list[Path]]:
    """Id-mapped copies of directories, at ``directory/0`` and on, for as long as the block lasts.

    For overlayfs: it keeps hold of its layers' mounts, so these need not stay. The new ``directory`` must be
    on a file system of the caller's own, and is removed in the end.
    """
    with contextlib.ExitStack() as stack:
        directory.mkdir(mode=0o700)
        stack.callback(directory.rmdir)
        descriptor = os.open(userns, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        targets = [directory / str(number) for number in range(len(sources))]
        for source, target in zip(sources, targets, strict=True):
            target.mkdir()
            stack.callback(detach_copy, target)
            attach_copy(source, target, userns=descriptor, recursive=False)
        yield targets
