"""Container events for GetContainerEvents: a bounded queue for each listener.

A listener that does not keep up loses its oldest events, and the log says so once; ``dropped`` counts them.
The kubelet lists everything now and then for that reason.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from api.runtime.v1 import api_pb2 as pb

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000

Queue = asyncio.Queue[pb.ContainerEventResponse]


class Events:
    """Publishes events to whoever listens; nobody listening costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[Queue, int] = {}  # and what each has lost
        self._last_ns = 0
        self.dropped = 0  # events that a listener lost

    @property
    def wanted(self) -> bool:
        """False while nobody listens: then events need not be built."""
        return bool(self._queues)

    @property
    def waiting(self) -> int:
        """Events that the listener furthest behind has still to take."""
        return max((queue.qsize() for queue in self._queues), default=0)

    def now_ns(self) -> int:
        """The time, in nanoseconds since the epoch, and later than any that was told before: by these the
        kubelet knows what is news, also when the clock is set back."""
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        return self._last_ns

    def publish(self, event: pb.ContainerEventResponse) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
                self._lost(queue)
            queue.put_nowait(event)

    def _lost(self, queue: Queue) -> None:
        self.dropped += 1
        self._queues[queue] += 1
        if self._queues[queue] == 1:
            logger.warning("an event listener does not keep up: its oldest events are dropped")

    async def listen(self) -> AsyncIterator[pb.ContainerEventResponse]:
        """Events from now on, until the caller stops."""
        queue: Queue = asyncio.Queue(QUEUE_LENGTH)
        self._queues[queue] = 0
        try:
            while True:
                yield await queue.get()
        finally:
            if lost := self._queues.pop(queue):
                logger.warning("an event listener that has gone had lost %d events", lost)
