import asyncio

from cri.streaming.inflow import Inflow


async def test_pieces_come_out_in_order_and_then_the_end() -> None:
    inflow = Inflow(100)
    inflow.put(b"a")
    inflow.put(b"")
    inflow.put(b"b")
    inflow.end()
    assert [await inflow.take() for _ in range(4)] == [b"a", b"b", b"", b""]


async def test_the_consumer_waits_for_the_producer() -> None:
    inflow = Inflow(100)
    taking = asyncio.ensure_future(inflow.take())
    await asyncio.sleep(0)
    assert not taking.done()
    inflow.put(b"a")
    assert await taking == b"a"
    taking = asyncio.ensure_future(inflow.take())
    await asyncio.sleep(0)
    inflow.end()
    assert await taking == b""


async def test_a_full_queue_has_room_again_when_something_is_taken() -> None:
    inflow = Inflow(3)
    inflow.put(b"abc")
    await inflow.room()
    inflow.put(b"d")
    waiting = asyncio.ensure_future(inflow.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await inflow.take() == b"abc"
    await waiting


async def test_what_is_discarded_makes_room_for_ever() -> None:
    inflow = Inflow(1)
    inflow.put(b"abc")
    inflow.discard()
    await inflow.room()
    inflow.put(b"def")
    assert not inflow.full
