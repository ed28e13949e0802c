"""Two steps at the same time end together."""

import asyncio

import pytest

from cri.together import together


async def _fail(words: str) -> None:
    raise ValueError(words)


async def test_both_results_come_in_their_order() -> None:
    assert await together(asyncio.sleep(0.001, "one"), asyncio.sleep(0, "two")) == ("one", "two")


async def test_an_error_comes_when_the_other_has_ended() -> None:
    ended = []

    async def slow() -> None:
        await asyncio.sleep(0.01)
        ended.append(True)

    with pytest.raises(ValueError, match="first"):
        await together(_fail("first"), slow())
    with pytest.raises(ValueError, match="second"):
        await together(slow(), _fail("second"))
    assert ended == [True, True]


async def test_the_first_error_is_the_cause() -> None:
    with pytest.raises(ValueError, match="first"):
        await together(_fail("first"), _fail("second"))


async def test_a_cancellation_reaches_both() -> None:
    cancelled = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    task = asyncio.create_task(together(wait("one"), wait("two")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == ["one", "two"]
