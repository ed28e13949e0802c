"""What a cgroup of a container can do (runtime-spec, config-linux.md, Control groups)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from api.errors import FailedPrecondition, InvalidArgument

Resources = Mapping[str, Any]
"""``linux.resources`` as decoded from JSON; what has a wrong type is refused where it is read."""


class BadResources(InvalidArgument):
    """A value of linux.resources or linux.cgroupsPath that makes no sense."""


class CgroupInUse(FailedPrecondition):
    """A new container's cgroup is there already, with processes in it or frozen."""


class NoCgroup(FailedPrecondition):
    """Limits are asked for, or processes to be found, where no cgroup could be made."""


class NotFrozen(FailedPrecondition):
    """The kernel did not freeze or thaw a cgroup in time."""


class Cgroup(Protocol):
    """A container's cgroup in all hierarchies. Calls block: the slowest, ``freeze``, for ten seconds at most.

    The life of one: ``create``; then the first process by ``join_paths`` or ``join``, before it gets to
    run anything of the container; ``facts`` into the container's state, from which ``choose.cgroup_from``
    makes it again; ``delete``.
    """

    def create(self, resources: Resources | None) -> None:
        """Make it and set ``resources``; a failure leaves nothing of it.

        Raises:
            CgroupInUse: it is there, with processes in it or frozen.
            BadResources, LimitRefused, MissingController, NoCgroup: a limit cannot be had.
        """
        ...

    def join_paths(self) -> list[Path]:
        """Files into which a process that has one thread writes "0" to join, in order.

        None while only ``join`` will do: systemd makes a scope around its first process, so the parent
        calls ``join`` before it lets the child go on. On version 1 they are ``tasks``, which takes a
        twentieth of the time of ``cgroup.procs``; a process with more threads joins by ``join``.
        """
        ...

    def join(self, pid: int, *, like: int | None = None) -> None:
        """Put a process with all its threads into it; or below it, where the process ``like`` is, when it
        can have none any more, since the container has divided it among cgroups of its own (version 2)."""
        ...

    def update(self, resources: Resources) -> None:
        """Set what ``resources`` names; the rest stays, and all of it when something is refused.

        Raises:
            BadResources, LimitRefused, MissingController: see ``create``.
        """
        ...

    def freeze(self) -> None:
        """Stop every process in it.

        Raises:
            NotFrozen: some do not stop; they were let go again.
        """
        ...

    def thaw(self) -> None:
        """Let them go on."""
        ...

    def frozen(self) -> bool:
        """Whether it was frozen by ``freeze``, or by others in its own files."""
        ...

    def pids(self) -> list[int]:
        """All processes in it and below, ascending."""
        ...

    def kill(self) -> None:
        """SIGKILL to all of them, frozen or not, and to what they fork meanwhile; not waited for."""
        ...

    def stats(self) -> dict[str, Any]:
        """The counters, in the form of ``data`` of runc's ``events``."""
        ...

    def oom_kills(self) -> int:
        """How many processes the kernel has killed in it for memory; 0 where that is not counted."""
        ...

    def delete(self) -> None:
        """Remove it and all below; what is gone already is fine.

        Raises:
            CgroupBusy: processes are still in it after about a second.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """JSON by which ``choose.cgroup_from`` finds it again."""
        ...
