"""cri/stacks: where tasks wait."""

import asyncio
from collections.abc import Generator, Iterator
from typing import Any, cast

from cri.stacks import stacks


async def _inner(event: asyncio.Event) -> None:
    await event.wait()


async def _outer(event: asyncio.Event) -> None:
    await _inner(event)


async def test_each_task_shows_what_it_waits_in_from_the_outside_in() -> None:
    event = asyncio.Event()
    task = asyncio.create_task(_outer(event), name="the one that hangs")
    await asyncio.sleep(0)
    lines = list(stacks(asyncio.get_running_loop()))
    begin = lines.index("task the one that hangs:")
    assert [line.rpartition(" in ")[2] for line in lines[begin + 1 : begin + 4]] == [
        "_outer",
        "_inner",
        "Event.wait",
    ]
    assert "test_stacks.py:" in lines[begin + 1]
    event.set()
    await task


class Compiled:
    """Awaits a coroutine as compiled code does."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    def __await__(self) -> Generator[Any, Any, None]:
        return _inner(self._event).__await__()


async def test_a_coroutine_that_compiled_code_awaits_is_seen_into() -> None:
    event = asyncio.Event()

    async def waits() -> None:
        await Compiled(event)

    task = asyncio.create_task(waits(), name="by compiled code")
    await asyncio.sleep(0)
    lines = list(stacks(asyncio.get_running_loop()))
    begin = lines.index("task by compiled code:")
    assert lines[begin + 3].endswith(" in _inner")
    event.set()
    await task


class Odd(Iterator[None]):
    """A coroutine of compiled code: no frame, no line."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return cast(Generator[Any, Any, Any], self)

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        asyncio.get_running_loop().call_soon(self.task.cancel)

    task: "asyncio.Task[None]"


async def test_what_has_no_frame_is_shown_by_its_name() -> None:
    odd = Odd()

    async def waits() -> None:
        await odd

    odd.task = asyncio.create_task(waits(), name="odd")
    await asyncio.sleep(0)
    assert "Odd object at" in "\n".join(stacks(asyncio.get_running_loop()))
    await asyncio.wait({odd.task})
