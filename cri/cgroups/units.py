"""The systemd driver: pods in slices, each process in a scope that its runtime starts (systemd.scope(5)).

    kubepods.slice/kubepods-pod1.slice    the kubelet's, or made here for a pod that comes without one
        podwright-<id>.scope              by the runtime (--systemd-cgroup); systemd removes it when empty

A limit lasts when systemd knows it: what only stands in a cgroup's files is undone by the next daemon-reload.
"""

import asyncio
from collections.abc import Callable

from cri.cgroups.driver import BadCgroupParent
from cri.systemd.units import Units
from host import slices
from host.cgroup_limits import Limits
from host.cgroups import Hierarchy
from host.systemd import NoSuchUnit, UnitExists
from host.unit_properties import properties

# For pods that come without a parent: crictl's.
DEFAULT_SLICE = "podwright.slice"
# By this a slice that was made here is known again.
DESCRIPTION = "Pods of Podwright"
# Files that systemd writes with those that it was asked to, the one rounded, the other without asking.
_OVERWRITTEN = Limits(unified={"cpu.max": "", "memory.oom.group": ""})


class UnitsDriver:
    """See CgroupDriver."""

    name = "systemd"

    def __init__(self, hierarchy: Hierarchy, units: Units) -> None:
        self._hierarchy = hierarchy
        self._units = units
        # A slice must not be stopped under a pod that is just coming: making and giving back take turns.
        self._slices = asyncio.Lock()

    def parent(self, asked: str) -> str:
        """See CgroupDriver; a slice by its name or by its whole path, as the kubelet gives it."""
        name = asked.rstrip("/").rpartition("/")[2] or DEFAULT_SLICE
        try:
            path = slices.path_of(name)
        except slices.BadSlice:
            raise BadCgroupParent(
                f"linux.cgroup_parent {asked!r} is no systemd slice (NAME.slice), but the cgroup driver "
                "is systemd: give kubelet and runtime the same driver"
            ) from None
        if asked.strip("/") not in ("", name, path.strip("/")):
            raise BadCgroupParent(f"linux.cgroup_parent {asked!r}: the slice {name} lies at {path}")
        return path

    async def prepare(self, parent: str) -> None:
        """Start the slices that are missing on the way to ``parent``."""
        async with self._slices:
            if await asyncio.to_thread(self._hierarchy.exists, parent):
                return
            for name in _slices_of(parent):
                try:
                    await self._units.start(name, [("Description", "s", DESCRIPTION)])
                except UnitExists:
                    continue

    async def retire(self, parent: str, in_use: Callable[[], bool]) -> None:
        """Stop the slices that ``prepare`` made, from the bottom up, as far as nothing else is in them."""
        async with self._slices:
            if in_use():
                return
            path = parent
            for name in reversed(_slices_of(parent)):
                if await asyncio.to_thread(self._hierarchy.has_children, path):
                    return
                if await self._units.description(name) != DESCRIPTION:
                    return
                await self._units.stop(name)
                path = path.rpartition("/")[0]

    async def apply(self, path: str, limits: Limits) -> None:
        """See CgroupDriver; files first, for the kernel refuses what systemd would only log."""
        await asyncio.to_thread(self._hierarchy.apply, path, limits)
        await self.keep(path, limits)

    async def keep(self, path: str, limits: Limits) -> None:
        """Tell systemd, as not every runtime does of every limit; then bring back what it overwrites."""
        unit = slices.unit_of(path)
        if unit is None or not await asyncio.to_thread(self._hierarchy.exists, path):
            return  # made under the other driver, or of a runtime that keeps containers elsewhere
        now = await asyncio.to_thread(self._hierarchy.limits, path, _OVERWRITTEN)
        if changes := properties(limits, now):
            await self._units.set_properties(unit, changes)
            await asyncio.to_thread(self._hierarchy.apply, path, Limits(unified=now.unified))

    async def remove(self, path: str) -> None:
        """See CgroupDriver; a scope that failed would stay among the units."""
        unit = slices.unit_of(path)
        if await asyncio.to_thread(self._hierarchy.exists, path):
            await asyncio.to_thread(self._hierarchy.kill, path)
            if unit is not None:
                await self._units.stop(unit)
            await asyncio.to_thread(self._hierarchy.remove, path)
        if unit is not None:
            try:
                await self._units.reset_failed(unit)
            except NoSuchUnit:
                return

    async def close(self) -> None:
        """Close the connection to the bus."""
        await self._units.close()


def _slices_of(parent: str) -> list[str]:
    """From the top down; none for a pod that was made under the other driver."""
    return [part for part in parent.split("/") if part] if parent.endswith(slices.SLICE) else []
