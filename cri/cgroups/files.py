"""The cgroupfs driver: directories that the runtime makes and we remove."""

import asyncio
from collections.abc import Callable

from cri.cgroups.driver import BadCgroupParent
from host import slices
from host.cgroup_limits import Limits
from host.cgroups import Hierarchy

# For pods that come without a parent: crictl's and critest's.
DEFAULT_PARENT = "/podwright"


class FilesDriver:
    """See CgroupDriver."""

    name = "cgroupfs"

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy

    def parent(self, asked: str) -> str:
        """See CgroupDriver."""
        if asked.rstrip("/").endswith(slices.SLICE):
            raise BadCgroupParent(
                f"linux.cgroup_parent {asked!r} is a systemd slice, but the cgroup driver is cgroupfs: "
                "give kubelet and runtime the same driver"
            )
        return "/" + (asked or DEFAULT_PARENT).strip("/")

    async def prepare(self, parent: str) -> None:
        """Nothing: the runtime makes missing parents."""

    async def keep(self, path: str, limits: Limits) -> None:
        """Nothing: files last."""

    async def apply(self, path: str, limits: Limits) -> None:
        """See CgroupDriver."""
        await asyncio.to_thread(self._hierarchy.apply, path, limits)

    async def remove(self, path: str) -> None:
        """See CgroupDriver."""
        await asyncio.to_thread(self._hierarchy.remove, path)

    async def retire(self, parent: str, in_use: Callable[[], bool]) -> None:
        """Nothing: parents are the kubelet's, the default one stays for the next pod."""

    async def close(self) -> None:
        """Nothing is open."""
