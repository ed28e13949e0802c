"""How a new process gets into its cgroup: born in it (version 2), by its own hand, or by its parent's."""

import contextlib
import os
from contextlib import ExitStack
from typing import NamedTuple

from host.fds import close_all
from oci.run.cgroups.types import Cgroup
from oci.run.errors import StepFailed
from oci.run.launch import Duties, Gift, Launch
from oci.run.operations import Plan


class Entry(NamedTuple):
    """See launch.Gift."""

    directory: int | None
    files: list[int] | None


def entry_of(cgroup: Cgroup, stack: ExitStack, *, by_parent: bool) -> Entry:
    """``by_parent`` for a child that is born without privileges; descriptors are closed by the stack."""
    paths = cgroup.join_paths()
    if len(paths) == 1 and paths[0].name == "cgroup.procs":
        descriptor = os.open(paths[0].parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        return Entry(descriptor, [])
    if by_parent or not paths:
        return Entry(None, None)
    files = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in paths]
    stack.callback(close_all, files)
    return Entry(None, files)


def launch(plan: Plan, gift: Gift, duties: Duties) -> Launch:
    """Fork, without being born in the cgroup where that is refused."""
    if gift.cgroup is not None:
        with contextlib.suppress(OSError):
            return Launch(plan, gift, duties)
        gift = gift._replace(cgroup=None, cgroup_files=None)
    return Launch(plan, gift, duties)


def failure_of(under_way: Launch, cgroup: Cgroup, before: int) -> StepFailed:
    """Reap the child that failed; the words about it."""
    failure = under_way.failure or StepFailed("it ended without a word")
    under_way.abandon()
    with contextlib.suppress(OSError):
        if not failure.errno and cgroup.oom_kills() > before:
            failure = StepFailed("container init was OOM-killed (memory limit too low?)")
    return failure
