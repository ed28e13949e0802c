"""Removing a cgroup together with what is in it: a runtime that was killed may have left processes there."""

import asyncio
import logging

from cri.cgroups.driver import CgroupDriver
from host.cgroups import CgroupBusy, Hierarchy

logger = logging.getLogger(__name__)


async def clear(driver: CgroupDriver, hierarchy: Hierarchy, path: str) -> None:
    """Remove ``path``. Whoever asks has ended what he knows of; what is there still is nobody's, and killed.

    A runtime's create that is killed before it has written its state leaves a process that it does not know.

    Raises:
        CgroupBusy: it will not die.
    """
    try:
        await driver.remove(path)
    except CgroupBusy as error:
        logger.warning("%s: ending them", error)
        await asyncio.to_thread(hierarchy.kill, path)
        await driver.remove(path)
