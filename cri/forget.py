"""Letting the monitor forget a process that was just ended."""

import asyncio

from api.ids import ContainerId
from cri.node import Node
from oci.monitor.types import MonitorFailed

# The monitor hears of an end when the kernel tells it, which is soon after the kill.
_TRIES = 100
_PAUSE_S = 0.05


async def forget(node: Node, identifier: ContainerId) -> None:
    """Drop the monitor's record, waiting a moment for it to notice the end.

    Raises:
        MonitorFailed: the process still lives after some seconds.
    """
    for attempt in range(_TRIES):
        try:
            await node.monitor.forget(identifier)
            return
        except MonitorFailed:
            if attempt + 1 == _TRIES:
                raise
            await asyncio.sleep(_PAUSE_S)
