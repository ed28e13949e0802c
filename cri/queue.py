"""A queue per object: the verbs that change a sandbox or container have it one after the other.

A stop overtakes: it ends processes without a turn, so that a start or an update that takes long does not keep
a pod alive. What gives back files, namespaces and records always waits for its turn, so that no verb goes on
working on an object that is gone. What only asks (lists, exec, attach, the reopening of a log) needs none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cri.operations import Operation


class Queue:
    """The verbs of one object, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder = ""

    @asynccontextmanager
    async def turn(self, operation: Operation) -> AsyncIterator[None]:
        """The object is the operation's alone inside; to wait for another verb is a step of its own."""
        if self._lock.locked():
            with operation.step(f"wait for {self._holder}"):
                await self._lock.acquire()
        else:
            await self._lock.acquire()
        self._holder = operation.verb
        try:
            yield
        finally:
            self._lock.release()
