"""cri/events: what a listener hears, and what it loses when it does not listen."""

import asyncio
import logging
import time

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.events import QUEUE_LENGTH, Events


def event(number: int) -> pb.ContainerEventResponse:
    return pb.ContainerEventResponse(container_id=str(number))


async def test_events_come_in_their_order_and_the_oldest_are_lost_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events, lost = Events(), 5
    listener = events.listen()
    first = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING):
        for number in range(QUEUE_LENGTH + lost):
            events.publish(event(number))
        assert events.waiting == QUEUE_LENGTH
        heard = [await first] + [await anext(listener) for _ in range(QUEUE_LENGTH - 1)]
        assert [one.container_id for one in heard] == [str(n) for n in range(lost, QUEUE_LENGTH + lost)]
        assert events.dropped == lost
        await listener.aclose()  # type: ignore[attr-defined]
    assert [record.getMessage() for record in caplog.records] == [
        "an event listener does not keep up: its oldest events are dropped",
        f"an event listener that has gone had lost {lost} events",
    ]
    assert not events.wanted


def test_times_grow_also_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    clock = iter([1000, 1000, 5, 2000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    assert [events.now_ns() for _ in range(4)] == [1000, 1001, 1002, 2000]
