"""A queue per object: one verb at a time, in order, and who waits for whom is a step."""

import asyncio

import pytest

from cri.operations import Operation
from cri.queue import Queue


async def test_verbs_have_their_turns_in_the_order_in_which_they_came() -> None:
    queue, done, go_on = Queue(), list[str](), asyncio.Event()

    async def verb(name: str) -> None:
        async with queue.turn(Operation(name, "a")):
            await go_on.wait()
            done.append(name)

    tasks = [asyncio.create_task(verb(name)) for name in ("start", "update", "remove")]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*tasks)
    assert done == ["start", "update", "remove"]


async def test_who_waits_says_for_whom() -> None:
    queue, waiting = Queue(), Operation("RemoveContainer", "a")
    async with queue.turn(Operation("StartContainer", "a")):
        task = asyncio.create_task(_turn(queue, waiting))
        await asyncio.sleep(0)
        assert [step.name for step in waiting.steps] == ["wait for StartContainer"]
    await task
    assert waiting.steps[0].ended is not None


async def test_a_free_queue_is_no_step() -> None:
    operation = Operation("StartContainer", "a")
    await _turn(Queue(), operation)
    assert operation.steps == []


async def test_a_verb_that_fails_or_leaves_gives_its_turn_back() -> None:
    queue = Queue()
    with pytest.raises(ValueError, match="no"):
        async with queue.turn(Operation("StartContainer", "a")):
            raise ValueError("no")
    async with queue.turn(Operation("UpdateContainerResources", "a")):
        leaving = asyncio.create_task(_turn(queue, Operation("StartContainer", "a")))
        await asyncio.sleep(0)
        leaving.cancel()
    await asyncio.wait_for(_turn(queue, Operation("RemoveContainer", "a")), 5)


async def _turn(queue: Queue, operation: Operation) -> None:
    async with queue.turn(operation):
        pass
