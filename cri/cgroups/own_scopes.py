"""Scopes of our own processes: what systemd does to the daemon's unit, and allows it, is the daemon's alone.

system.slice/podwright.service          the daemon, stopped and started at will, its memory bounded
system.slice/podwright-monitor.scope    the monitor, as long as a container lives
system.slice/podwright-unpack.scope     processes that unpack layers: their memory, and what they write
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.errors import PodwrightError
from cri.cgroups.choose import SYSTEMD_RUNS
from cri.systemd.units import Units
from host.lines import read_table
from host.systemd import UnitExists
from host.unit_properties import Property

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class OwnScope:
    """One of them; ``who`` is what the log calls its processes."""

    name: str
    who: str
    description: str
    properties: Sequence[Property] = ()


MONITOR = OwnScope(
    "podwright-monitor.scope",
    "the monitor",
    "Monitor of Podwright's containers",
    # Not stopped on the way down: it outlives the containers and has their last words.
    (("ManagedOOMPreference", "s", "omit"), ("DefaultDependencies", "b", False)),
)
UNPACK = OwnScope("podwright-unpack.scope", "the unpack process", "Unpacking of Podwright's image layers")


async def house(pid: int, scope: OwnScope, parent: str, runs: Path = SYSTEMD_RUNS) -> None:
    """Have the process in its scope below the slice ``parent``, where systemd runs the machine.

    It works without, so a failure is only logged.
    """
    if not runs.is_dir() or await asyncio.to_thread(is_housed, pid, scope):
        return
    from cri.systemd.manager import Manager  # D-Bus costs time to import

    units = Manager(timeout_s=TIMEOUT_S)
    try:
        await move(units, pid, scope, parent)
    except PodwrightError as error:
        logger.warning("%s stays in the daemon's cgroup: %s", scope.who, error)
    finally:
        await units.close()


async def move(units: Units, pid: int, scope: OwnScope, parent: str) -> None:
    """Put the process into the scope, making that if need be.

    Raises:
        UnitFailed, BusUnavailable: see there.
    """
    try:
        await units.start(
            scope.name,
            [
                ("Description", "s", scope.description),
                ("Slice", "s", parent),
                ("PIDs", "au", [pid]),
                ("Delegate", "b", True),
                ("TasksMax", "t", (1 << 64) - 1),
                ("CollectMode", "s", "inactive-or-failed"),
                *scope.properties,
            ],
        )
    except UnitExists:
        await units.attach(scope.name, pid)


def is_housed(pid: int, scope: OwnScope) -> bool:
    """Whether the process is in the scope."""
    try:
        return f"/{scope.name}\n" in read_table(f"/proc/{pid}/cgroup")
    except OSError:
        return False  # it has ended
