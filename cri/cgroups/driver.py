"""What a cgroup driver does; reading counters and killing go by paths alone and need none (host.cgroups)."""

from collections.abc import Callable
from typing import Protocol

from api.errors import InvalidArgument
from host.cgroup_limits import Limits


class BadCgroupParent(InvalidArgument):
    """linux.cgroup_parent of a pod is not one for the driver in use."""


class CgroupDriver(Protocol):
    """Paths are those of host.cgroups: absolute, below every hierarchy."""

    @property
    def name(self) -> str:
        """``systemd`` or ``cgroupfs``."""
        ...

    def parent(self, asked: str) -> str:
        """The path for linux.cgroup_parent; "" is a pod that comes without.

        Raises:
            BadCgroupParent: it is the other driver's, or none at all.
        """
        ...

    async def prepare(self, parent: str) -> None:
        """Have what must be there before the runtime puts processes below ``parent``."""
        ...

    async def keep(self, path: str, limits: Limits) -> None:
        """Have ``limits`` last, which the runtime has set at creation."""
        ...

    async def apply(self, path: str, limits: Limits) -> None:
        """Set what ``limits`` names, so that it lasts; the rest stays.

        Raises:
            MissingController, LimitRefused: by the kernel; some of it may be set.
        """
        ...

    async def remove(self, path: str) -> None:
        """Remove a process' cgroup once the runtime has deleted its container; one that is gone is fine.

        Raises:
            CgroupBusy: processes are still in it.
        """
        ...

    async def retire(self, parent: str, in_use: Callable[[], bool]) -> None:
        """Give back what ``prepare`` made, unless ``in_use`` says that other pods need it."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
