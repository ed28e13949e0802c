"""Whether the monitor answers, and which logs their file systems do not take: asked now and then.

Each log is named once in the daemon's log when it gets stuck, and once when it goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from api.errors import PodwrightError
from oci.monitor.types import StuckLog

logger = logging.getLogger(__name__)

AGE_S = 10.0  # a disk that takes longer for one write is worth a word
_PACE_S = 10.0

Ask = Callable[[float], Awaitable[list[StuckLog]]]


class StuckLogs:
    """What was heard last."""

    def __init__(self, ask: Ask) -> None:
        """``ask`` is the monitor's question; nothing is known yet, and that is fine."""
        self._ask = ask
        self.logs: list[StuckLog] = []
        self.monitor_problem = ""

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(_PACE_S)
            await self.look()

    async def look(self) -> None:
        """Ask once."""
        try:
            found = await self._ask(AGE_S)
        except PodwrightError as error:
            if not self.monitor_problem:
                logger.error("the monitor does not answer: %s", error)
            self.monitor_problem = str(error)
            return
        self.monitor_problem = ""
        before, now = ({one.path for one in logs} for logs in (self.logs, found))
        self.logs = found
        for one in found:
            if one.path not in before:
                logger.error("%s", describe(one))
        for path in before - now:
            logger.info("log %s goes on", path)


def describe(log: StuckLog) -> str:
    """One log in words."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(log.since_ns / 1e9))
    why = "takes no more: it is probably full" if log.is_refused else "does not answer"
    return f"log {log.path} of container {log.id[:12]} is stuck since {since}: its file system {why}"
