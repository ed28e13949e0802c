"""storage/registry/pace: bytes over time spent waiting."""

import asyncio

import pytest

from storage.registry.pace import Pace, TooSlow


class Body:
    """Chunks, each so long after the one before it, whether somebody waits or not."""

    def __init__(self, *chunks: tuple[float, bytes]) -> None:
        self._chunks = list(chunks)
        self._due = asyncio.get_running_loop().time()

    async def readany(self) -> bytes:
        if not self._chunks:
            return b""
        wait_s, data = self._chunks[0]
        await asyncio.sleep(self._due + wait_s - asyncio.get_running_loop().time())
        self._due += wait_s
        self._chunks.pop(0)
        return data


async def read(pace: Pace, body: Body) -> bytes:
    return b"".join([chunk async for chunk in pace.chunks(body)])


async def test_drops_are_too_slow_although_each_comes_in_time() -> None:
    body = Body(*[(0.02, b"x")] * 1000)
    with pytest.raises(TooSlow, match="fewer than 1000 a second"):
        await read(Pace(1000, 0.1), body)


async def test_silence_is_too_slow() -> None:
    with pytest.raises(TooSlow):
        await read(Pace(1, 0.05), Body((3600, b"x")))


async def test_a_wait_within_a_window_that_brought_enough_is_none() -> None:
    body = Body((0, b"x" * 5000), (0.6, b"y"))
    assert await read(Pace(1000, 0.5), body) == b"x" * 5000 + b"y"


async def test_time_in_which_nobody_reads_does_not_count() -> None:
    pace = Pace(1e9, 0.05)
    got = 0
    async for chunk in pace.chunks(Body(*[(0, b"x")] * 10)):
        got += len(chunk)
        await asyncio.sleep(0.02)
    assert got == 10


async def test_without_a_bound_anything_goes() -> None:
    assert await read(Pace(0, 60), Body((0.01, b"x"))) == b"x"
    assert await read(Pace(1000, 0), Body((0.01, b"x"))) == b"x"


async def test_a_time_out_of_the_connection_itself_is_passed_on() -> None:
    class Broken:
        async def readany(self) -> bytes:
            raise TimeoutError("sock_read")

    with pytest.raises(TimeoutError, match="sock_read"):
        _ = [chunk async for chunk in Pace(1, 1).chunks(Broken())]
