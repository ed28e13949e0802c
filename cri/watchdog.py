"""Feeding systemd's watchdog (sd_watchdog_enabled(3)), but only while the daemon really serves.

Twice in the time that systemd waits, the daemon asks itself for its Status through its own socket, as the
kubelet does. A daemon whose loop turns but whose calls hang is thus replaced; its containers go on.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb

logger = logging.getLogger(__name__)

Ask = Callable[[float], Awaitable[None]]
_STATUS = f"/{pb.DESCRIPTOR.services_by_name['RuntimeService'].full_name}/Status"


def patience_s(environment: Mapping[str, str], pid: int) -> float | None:
    """How long systemd waits for a sign of life; None when it does not watch this process."""
    time_us = environment.get("WATCHDOG_USEC", "")
    watched = environment.get("WATCHDOG_PID", "") or str(pid)
    if not time_us.isdigit() or int(time_us) == 0 or watched != str(pid):
        return None
    return int(time_us) / 1_000_000


@contextlib.asynccontextmanager
async def own_status(socket: Path) -> AsyncIterator[Ask]:
    """A call of Status over ``socket``, given the time that it may take; it raises what gRPC raises."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        # Not by api_pb2_grpc, whose import takes longer than all of ours.
        call = channel.unary_unary(
            _STATUS,
            request_serializer=pb.StatusRequest.SerializeToString,
            response_deserializer=pb.StatusResponse.FromString,
        )

        async def ask(timeout_s: float) -> None:
            await call(pb.StatusRequest(), timeout=timeout_s)

        yield ask


async def feed(watch_s: float, ask: Ask, tell: Callable[[], object]) -> None:
    """Tell twice in ``watch_s``, for ever, whenever ``ask`` succeeds within half of that pace."""
    pace_s = watch_s / 2
    loop = asyncio.get_running_loop()
    start = loop.time()
    for turn in itertools.count(1):
        try:
            async with asyncio.timeout(pace_s / 2):
                await ask(pace_s / 2)
            tell()
        except (grpc.RpcError, TimeoutError, OSError) as error:
            logger.error("the watchdog is not fed, for the daemon does not answer itself: %s", error)
        await asyncio.sleep(max(0.0, start + turn * pace_s - loop.time()))
