"""A streaming server on loopback with local processes behind it."""

from collections.abc import AsyncIterator

import pytest

from cri.streaming.server import StreamingServer
from cri.streaming.timeouts import Timeouts
from tests.integration.streaming.local_backend import LocalBackend

# Long enough for a busy machine, short enough that a test which needs one to pass does not drag.
TIMEOUTS = Timeouts(
    stream_creation_s=1.0, quiet_after_exit_s=0.3, linger_s=2.0, departure_check_s=0.05, stall_s=0.3
)


@pytest.fixture
async def backend() -> AsyncIterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    await backend.aclose()


@pytest.fixture
async def server(backend: LocalBackend) -> AsyncIterator[StreamingServer]:
    server = StreamingServer(backend, timeouts=TIMEOUTS)
    await server.start()
    yield server
    await server.close()
