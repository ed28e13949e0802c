"""A scope of the monitor's own: what systemd does to the daemon's unit does not touch it.

system.slice/podwright.service          the daemon, stopped and started at will
system.slice/podwright-monitor.scope    the monitor, as long as a container lives
"""

import asyncio
import logging
from pathlib import Path

from api.errors import PodwrightError
from cri.cgroups.choose import SYSTEMD_RUNS
from cri.systemd.units import UnitExists, Units

logger = logging.getLogger(__name__)

SCOPE = "podwright-monitor.scope"
TIMEOUT_S = 10.0


async def house(pid: int, parent: str, runs: Path = SYSTEMD_RUNS) -> None:
    """Have the monitor in its scope below the slice ``parent``, where systemd runs the machine.

    It works without, so a failure is only logged.
    """
    if not runs.is_dir() or await asyncio.to_thread(is_housed, pid):
        return
    from cri.systemd.manager import Manager  # D-Bus costs time to import

    units = Manager(timeout_s=TIMEOUT_S)
    try:
        await move(units, pid, parent)
    except PodwrightError as error:
        logger.warning("the monitor stays in the daemon's cgroup: %s", error)
    finally:
        await units.close()


async def move(units: Units, pid: int, parent: str) -> None:
    """Put the process into the scope, making that if need be.

    Raises:
        UnitFailed, BusUnavailable: see there.
    """
    try:
        await units.start(
            SCOPE,
            [
                ("Description", "s", "Monitor of Podwright's containers"),
                ("Slice", "s", parent),
                ("PIDs", "au", [pid]),
                ("Delegate", "b", True),
                ("TasksMax", "t", (1 << 64) - 1),
                ("ManagedOOMPreference", "s", "omit"),
                ("CollectMode", "s", "inactive-or-failed"),
                # Not stopped on the way down: it outlives the containers and has their last words.
                ("DefaultDependencies", "b", False),
            ],
        )
    except UnitExists:
        await units.attach(SCOPE, pid)


def is_housed(pid: int) -> bool:
    """Whether the process is in the scope."""
    try:
        return f"/{SCOPE}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False  # it has ended
