"""Container events for GetContainerEvents: a bounded queue for each listener.

A listener that does not keep up loses its oldest events, and the log says how many; the kubelet
lists everything now and then for that reason.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from api.runtime.v1 import api_pb2 as pb

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000


class Events:
    """Publishes events to whoever listens; nobody listening costs nothing."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[pb.ContainerEventResponse]] = set()
        self.dropped = 0  # events that a listener lost

    @property
    def wanted(self) -> bool:
        """False while nobody listens: then events need not be built."""
        return bool(self._queues)

    def publish(self, event: pb.ContainerEventResponse) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
                self.dropped += 1
                logger.warning("an event listener does not keep up: the oldest event is dropped")
            queue.put_nowait(event)

    async def listen(self) -> AsyncIterator[pb.ContainerEventResponse]:
        """Events from now on, until the caller stops."""
        queue: asyncio.Queue[pb.ContainerEventResponse] = asyncio.Queue(QUEUE_LENGTH)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)
