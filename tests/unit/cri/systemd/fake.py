"""systemd as far as Podwright uses it: units in memory; the processes of scopes are real."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from host.systemd import NoSuchUnit, UnitExists, UnitFailed
from host.unit_properties import Property
from tests.harness.processes import has_ended

KNOWN = {
    *("Description", "Slice", "PIDs", "Delegate", "DefaultDependencies", "CollectMode", "TasksMax"),
    *("CPUWeight", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs", "AllowedMemoryNodes"),
    *("MemoryMin", "MemoryLow", "MemoryHigh", "MemoryMax", "MemorySwapMax", "ManagedOOMPreference"),
}


@dataclass
class Unit:
    """One loaded unit."""

    properties: dict[str, object]
    pids: list[int] = field(default_factory=list)


class FakeUnits:
    """See Units. ``calls`` are all that was asked, in order; ``when_set`` is what systemd does by the way."""

    def __init__(self) -> None:
        self.loaded: dict[str, Unit] = {}
        self.failed: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.when_set: Callable[[], None] = lambda: None

    async def start(self, unit: str, properties: Sequence[Property]) -> None:
        self._called("start", unit)
        if unit in self.loaded:
            raise UnitExists(f"systemd refuses StartTransientUnit of {unit}: it was already loaded")
        given = self._checked("StartTransientUnit", unit, properties)
        pids = given.pop("PIDs", [])
        assert isinstance(pids, list)
        self.loaded[unit] = Unit(given, list(pids))

    async def stop(self, unit: str) -> None:
        self._called("stop", unit)
        within = [name for name, one in self.loaded.items() if one.properties.get("Slice") == unit]
        for name in within:
            await self.stop(name)
        stopped = self.loaded.pop(unit, None)
        for pid in stopped.pids if stopped else ():
            os.kill(pid, signal.SIGTERM)

    async def reset_failed(self, unit: str) -> None:
        self._called("reset_failed", unit)
        if unit not in self.failed:
            raise NoSuchUnit(f"systemd refuses ResetFailedUnit of {unit}: not loaded")
        self.failed.remove(unit)

    async def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        self._called("set_properties", unit)
        self._find("SetUnitProperties", unit).properties |= self._checked(
            "SetUnitProperties", unit, properties
        )
        self.when_set()

    async def attach(self, unit: str, pid: int) -> None:
        self._called("attach", unit)
        found = self._find("AttachProcessesToUnit", unit)
        if not found.properties.get("Delegate"):
            raise UnitFailed(f"systemd refuses AttachProcessesToUnit of {unit}: it is not delegated")
        found.pids.append(pid)

    async def description(self, unit: str) -> str:
        self._called("description", unit)
        return str(self.loaded[unit].properties["Description"]) if unit in self.loaded else unit

    async def close(self) -> None:
        self._called("close", "")

    def _called(self, what: str, unit: str) -> None:
        """Note it; scopes without a process have gone by now."""
        self.calls.append((what, unit))
        for name, one in list(self.loaded.items()):
            if name.endswith(".scope") and all(map(has_ended, one.pids)):
                del self.loaded[name]

    def _find(self, method: str, unit: str) -> Unit:
        if unit not in self.loaded:
            raise NoSuchUnit(f"systemd refuses {method} of {unit}: not loaded")
        return self.loaded[unit]

    @staticmethod
    def _checked(method: str, unit: str, properties: Sequence[Property]) -> dict[str, object]:
        for name, _, _ in properties:
            if name not in KNOWN:
                raise UnitFailed(f"systemd refuses {method} of {unit}: cannot set property {name}")
        return {name: value for name, _, value in properties}
