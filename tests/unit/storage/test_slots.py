"""storage/slots: who gets a place, and who gives one up."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from storage.slots import GaveWay, Slots


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_registry_holds_its_own_places_only() -> None:
    slots = Slots(each=2, total=4)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(slots.place("slow"))
        third = asyncio.create_task(stack.enter_async_context(slots.place("slow")))
        await settle()
        assert not third.done()
        await stack.enter_async_context(slots.place("other"))
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
    async with slots.place("slow"), slots.place("slow"), slots.place("other"), slots.place("other"):
        pass


async def test_a_place_goes_to_who_waits_and_is_given_back_by_who_leaves() -> None:
    slots = Slots(each=1, total=1)
    order: list[str] = []

    async def work(owner: str) -> None:
        async with slots.place(owner):
            order.append(owner)
            await settle()

    tasks = [asyncio.create_task(work(owner)) for owner in ("a", "b", "c")]
    await settle()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "c"]
    await work("d")


async def test_the_slowest_layer_gives_way_to_a_registry_that_has_nothing() -> None:
    slots = Slots(each=2, total=2, slow_rate=1000, patience_s=0.01)
    outcomes: dict[str, str] = {}

    async def hold(name: str, came: int, free: asyncio.Event) -> None:
        try:
            async with slots.place("registry") as place:
                place.bytes = came
                await free.wait()
            outcomes[name] = "done"
        except GaveWay as error:
            outcomes[name] = str(error)

    free = asyncio.Event()
    held = [asyncio.create_task(hold("fast", 1 << 40, free)), asyncio.create_task(hold("drip", 1, free))]
    await settle()
    async with slots.place("other"):
        pass
    free.set()
    await asyncio.gather(*held)
    assert outcomes["fast"] == "done"
    assert outcomes["drip"].startswith("a layer from registry came at ")


async def test_fast_layers_and_those_of_the_same_registry_are_waited_for() -> None:
    slots = Slots(each=1, total=1, slow_rate=1000, patience_s=0.001)
    async with slots.place("a") as place:
        place.bytes = 1 << 40
        for owner in ("a", "b"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), slots.place(owner):
                    pass
    async with slots.place("b"):
        pass


async def test_a_time_out_of_the_work_itself_stays_one() -> None:
    slots = Slots(each=1, total=1)
    with pytest.raises(TimeoutError):
        async with slots.place("a"):
            raise TimeoutError
    async with slots.place("a"):
        pass
