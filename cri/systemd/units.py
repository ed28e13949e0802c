"""What we ask of systemd about its units (org.freedesktop.systemd1(5))."""

from collections.abc import Sequence
from typing import Protocol

from host.unit_properties import Property


class Units(Protocol):
    """What we ask of systemd."""

    async def start(self, unit: str, properties: Sequence[Property]) -> None:
        """Make a transient unit and start it; it is active when this returns.

        Raises:
            UnitExists: there is one. UnitFailed: see there.
        """
        ...

    async def stop(self, unit: str) -> None:
        """Stop a unit, and all that needs it; one that is not there is fine.

        Raises:
            UnitFailed: see there.
        """
        ...

    async def reset_failed(self, unit: str) -> None:
        """Let a unit that failed be forgotten.

        Raises:
            NoSuchUnit: it is.
        """
        ...

    async def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """Change a unit's properties until it is gone; its cgroup has them when this returns.

        Raises:
            NoSuchUnit: there is none. UnitFailed: see there.
        """
        ...

    async def attach(self, unit: str, pid: int) -> None:
        """Move a process into the cgroup of a running scope.

        Raises:
            NoSuchUnit: there is none. UnitFailed: see there.
        """
        ...

    async def description(self, unit: str) -> str:
        """A unit's description; of one that is not there, what systemd makes of its name."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...
