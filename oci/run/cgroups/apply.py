"""Writes to the files of a cgroup, all or none: when one is refused, what the others changed is put back."""

import contextlib
import errno
from collections.abc import Callable, Sequence

from host.cgroup_limits import REFUSALS, LimitRefused, MissingController
from oci.run.cgroups.place import Place
from oci.run.cgroups.plan import Write

Where = Callable[[str], Place | None]
"""The place of a controller."""


def apply(writes: Sequence[Write], where: Where, *, undo: bool) -> list[Write]:
    """Write them in order; with ``undo`` put everything back when one fails, and give what would do so.

    Raises:
        MissingController, LimitRefused: by the kernel.
    """
    done: list[Write] = []
    for write in writes:
        before = _before(write, where) if undo else None
        try:
            changed = _write(write, where)
        except BaseException:
            put_back(done, where)
            raise
        if changed and before is not None:
            done.append(before)
    return done


def put_back(done: Sequence[Write], where: Where) -> None:
    """Undo what ``apply`` did, the last one first, as far as the kernel lets us."""
    for write in reversed(done):
        with contextlib.suppress(MissingController, LimitRefused, OSError):
            _write(write, where)


def _before(write: Write, where: Where) -> Write | None:
    """The write that brings back what the file has now."""
    place = where(write.controller)
    text = None if place is None else place.read(write.name)
    if text is None:
        return None
    if write.key:
        lines = [line for line in text.splitlines() if line.split(" ", 1)[0] == write.key]
        text = lines[0] if lines else f"{write.key} {write.absent}"
    return Write(write.controller, write.name, text, missing_ok=True)


def _write(write: Write, where: Where) -> bool:
    """Whether the file was there."""
    place = where(write.controller)
    shown = f"{write.name} = {write.text}"
    if place is None:
        if write.missing_ok:
            return False
        raise MissingController(
            f"{shown} needs the cgroup controller {write.controller!r}, which is not mounted or not ours"
        )
    try:
        place.write(write.name, write.text)
    except FileNotFoundError:
        if write.missing_ok:
            return False
        raise MissingController(f"{shown}: {place.directory / write.name} does not exist") from None
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise LimitRefused(
            f"the kernel refuses {shown} in {place.directory}: {error.strerror}{_usage(write, place, error)}"
        ) from error
    if write.name == "cpu.shares":
        _compare_shares(write, place)
    return True


def _usage(write: Write, place: Place, error: OSError) -> str:
    """A limit below what is used already: how much that is."""
    if error.errno != errno.EBUSY or not write.name.startswith("memory."):
        return ""
    usage, peak = (place.read(f"memory.{name}_in_bytes") for name in ("usage", "max_usage"))
    return f" (current usage: {usage}, peak usage: {peak})"


def _compare_shares(write: Write, place: Place) -> None:
    """The kernel bounds them without a word."""
    now = place.read(write.name)
    if now is not None and now != write.text:
        bound = "maximum" if int(write.text) > int(now) else "minimum"
        raise LimitRefused(f"the {bound} allowed cpu-shares is {now}, not {write.text}")
