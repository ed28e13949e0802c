"""Mounting overlayfs (kernel Documentation/filesystems/overlayfs.rst) of up to hundreds of layers."""

import contextlib
import errno
import itertools
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from host.mounts import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    StrPath,
    closing_descriptor,
    fsconfig_create,
    fsconfig_set,
    fsmount,
    fsopen,
    mount,
    move_mount,
)

# mount(2) copies one page of options; some room is left for the terminating NUL.
_OPTIONS_LIMIT = 4000
_LOWERDIR_PLUS_SINCE = (6, 8)


def overlay(
    lower: Sequence[Path],
    upper: Path | None,
    work: Path | None,
    target: StrPath,
    *,
    options: Iterable[str] = (),
    attributes: int = 0,
) -> None:
    """Mount an overlay at ``target``; ``lower`` is listed uppermost first, without ``upper`` it is read-only.

    ``options`` are further overlay options ("metacopy=off", "volatile"); ``attributes`` MOUNT_ATTR_* bits.
    On kernels whose overlay knows ``lowerdir+`` (6.8) the number of layers is bounded by the kernel's own
    500; before that mount(2) is used with descriptors in place of paths, which holds about 200.

    Raises:
        OSError: with the words that the kernel's overlay driver wrote, where it gives any.
    """
    try:
        tree = _overlay_by_descriptor(lower, upper, work, options, attributes)
    except _NotSupported:
        _overlay_by_options(lower, upper, work, target, options, attributes)
        return
    with closing_descriptor(tree):
        move_mount(tree, target)


class _NotSupported(Exception):
    """This kernel lacks fsopen, or its overlay lacks lowerdir+."""


def _overlay_by_descriptor(
    lower: Sequence[Path], upper: Path | None, work: Path | None, options: Iterable[str], attributes: int
) -> int:
    try:
        context = fsopen("overlay")
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            raise _NotSupported from error
        raise
    with closing_descriptor(context):
        try:
            fsconfig_set(context, "source", "overlay")
            for layer in lower:
                fsconfig_set(context, "lowerdir+", layer)
            _configure_overlay(context, upper, work, options)
            fsconfig_create(context)
            return fsmount(context, attributes)
        except OSError as error:
            # An older overlay collects keys unseen and refuses the unknown one at any later step.
            if error.errno == errno.EINVAL and _kernel_release() < _LOWERDIR_PLUS_SINCE:
                raise _NotSupported from error
            words = _context_messages(context)
            if words:
                raise OSError(error.errno, f"overlay: {words}", error.filename) from error
            raise


def _kernel_release() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(itertools.takewhile(str.isdigit, minor)) or "0")


def _configure_overlay(context: int, upper: Path | None, work: Path | None, options: Iterable[str]) -> None:
    if upper is not None and work is not None:
        fsconfig_set(context, "upperdir", upper)
        fsconfig_set(context, "workdir", work)
    for option in options:
        key, separator, value = option.partition("=")
        fsconfig_set(context, key, value if separator else None)


def _context_messages(context: int) -> str:
    """What the kernel wrote on the context about the failure; lines begin with "e ", "w " or "i "."""
    lines = []
    with contextlib.suppress(OSError):
        while message := os.read(context, 4096):
            lines.append(
                message.decode(errors="replace").strip().removeprefix("e ").removeprefix("overlay: ")
            )
    return "; ".join(lines)


def _overlay_by_options(
    lower: Sequence[Path],
    upper: Path | None,
    work: Path | None,
    target: StrPath,
    options: Iterable[str],
    attributes: int,
) -> None:
    flags = attributes & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)  # the same bits in both interfaces
    with ExitStack() as stack:
        names = [_quote(os.fspath(layer)) for layer in lower]
        if sum(map(len, names)) + len(names) > _OPTIONS_LIMIT // 2:
            names = [f"/proc/self/fd/{stack.enter_context(_directory(layer))}" for layer in lower]
        parts = [f"lowerdir={':'.join(names)}", *options]
        if upper is not None and work is not None:
            parts += [f"upperdir={_quote(os.fspath(upper))}", f"workdir={_quote(os.fspath(work))}"]
        data = ",".join(parts)
        if len(data) > _OPTIONS_LIMIT:
            raise OSError(
                errno.E2BIG, f"{len(lower)} layers are too many for this kernel's mount(2)", str(target)
            )
        mount("overlay", target, "overlay", flags, data)


def _quote(path: str) -> str:
    """Escape what the option parser and the list of lower directories would split at."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def _directory(path: Path) -> contextlib.AbstractContextManager[int]:
    return closing_descriptor(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
