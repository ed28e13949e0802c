"""Which cgroup driver this node has (cgroup_manager), and its start."""

import logging
from pathlib import Path

from api.errors import FailedPrecondition, Unavailable
from cri.cgroups.driver import CgroupDriver
from cri.cgroups.files import FilesDriver
from cri.cgroups.units import UnitsDriver
from host.cgroups import Hierarchy

logger = logging.getLogger(__name__)

# There when systemd is process 1 (sd_booted(3)).
SYSTEMD_RUNS = Path("/run/systemd/system")
_OPTION = "crio.runtime.cgroup_manager"


class NoSystemdDriver(FailedPrecondition):
    """The systemd driver is asked for where it cannot work."""


def is_systemd(manager: str, hierarchy: Hierarchy, runs: Path = SYSTEMD_RUNS) -> bool:
    """Whether the driver is systemd's: as configured, or for "auto" where it can be.

    Raises:
        NoSystemdDriver: it is configured and cannot be.
    """
    if manager == "cgroupfs":
        return False
    able = runs.is_dir() and hierarchy.version == 2
    if manager == "systemd" and not able:
        booted = "there is not cgroup version 2 alone"
        lacking = booted if runs.is_dir() else "systemd does not run this machine"
        raise NoSystemdDriver(f'{_OPTION} is "systemd", but {lacking}: set it to "cgroupfs" or "auto"')
    return able


async def choose(manager: str, hierarchy: Hierarchy, runs: Path = SYSTEMD_RUNS) -> CgroupDriver:
    """The driver, connected.

    Raises:
        NoSystemdDriver: it is configured and cannot work, or it should and nobody answers on the bus.
    """
    if not is_systemd(manager, hierarchy, runs):
        return FilesDriver(hierarchy)
    from cri.systemd.manager import Manager  # D-Bus costs other machines time to import

    units = Manager()
    try:
        version = await units.version()
    except Unavailable as error:
        raise NoSystemdDriver(
            f'{_OPTION} is "{manager}" and systemd runs this machine, but it does not answer: {error}; '
            f'install and start dbus, or set {_OPTION} to "cgroupfs"'
        ) from error
    logger.info("cgroups are made by systemd %s", version)
    return UnitsDriver(hierarchy, units)
