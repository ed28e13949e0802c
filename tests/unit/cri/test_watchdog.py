"""When the watchdog is fed, with a real server on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.watchdog import feed, own_status, patience_s

WATCH_S = 0.2
BOUND_S = 20.0


class Runtime:
    """Answers Status, or hangs, or fails."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.hangs = False
        self.fails = False

    async def status(
        self, _: pb.StatusRequest, context: grpc.aio.ServicerContext[pb.StatusRequest, pb.StatusResponse]
    ) -> pb.StatusResponse:
        self.asked.release()
        if self.hangs:
            await asyncio.sleep(BOUND_S)
        if self.fails:
            await context.abort(grpc.StatusCode.INTERNAL, "broken")
        return pb.StatusResponse()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    server = grpc.aio.server()
    served = Runtime()
    status = grpc.unary_unary_rpc_method_handler(
        served.status,
        request_deserializer=pb.StatusRequest.FromString,
        response_serializer=pb.StatusResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", {"Status": status})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"unix:{tmp_path}/cri.sock")
    await server.start()
    yield served
    await server.stop(None)


@pytest.fixture
async def fed(tmp_path: Path, runtime: Runtime) -> AsyncIterator[asyncio.Semaphore]:
    """Released at each feeding."""
    told = asyncio.Semaphore(0)
    async with own_status(tmp_path / "cri.sock") as ask:
        feeding = asyncio.create_task(feed(WATCH_S, ask, told.release))
        yield told
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def times(semaphore: asyncio.Semaphore, number: int) -> None:
    for _ in range(number):
        await asyncio.wait_for(semaphore.acquire(), BOUND_S)


async def test_a_daemon_that_answers_is_fed_again_and_again(fed: asyncio.Semaphore) -> None:
    await times(fed, 3)


@pytest.mark.parametrize("trouble", ["hangs", "fails"])
async def test_a_daemon_that_does_not_answer_itself_is_not_fed(
    runtime: Runtime, fed: asyncio.Semaphore, trouble: str
) -> None:
    await times(fed, 1)
    setattr(runtime, trouble, True)
    await times(runtime.asked, 3)  # one of before may be among them
    while not fed.locked():
        await fed.acquire()
    await times(runtime.asked, 3)
    assert fed.locked()
    setattr(runtime, trouble, False)
    await times(fed, 1)


async def test_a_socket_without_a_server_is_not_fed(tmp_path: Path) -> None:
    told: list[int] = []
    async with own_status(tmp_path / "none.sock") as ask:
        feeding = asyncio.create_task(feed(WATCH_S, ask, lambda: told.append(1)))
        await asyncio.sleep(WATCH_S * 3)
        assert not feeding.done()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    assert told == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_who_is_watched(environment: dict[str, str], expected: float | None) -> None:
    assert patience_s(environment, 7) == expected
