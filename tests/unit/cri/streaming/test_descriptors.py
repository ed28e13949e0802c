import asyncio
import os
from collections.abc import Iterator

import pytest

from cri.streaming.descriptors import CHUNK_BYTES, prepare, read_some, write_all


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    prepare(read)
    prepare(write)
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:
            pass  # the test closed it


async def test_reading_waits_for_bytes_and_ends_with_none(pipe: tuple[int, int]) -> None:
    read, write = pipe
    reading = asyncio.ensure_future(read_some(read))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not reading.done()
    os.write(write, b"x")
    assert await reading == b"x"
    os.close(write)
    assert await read_some(read) == b""


async def test_writing_waits_for_room_and_writes_all(pipe: tuple[int, int]) -> None:
    read, write = pipe
    data = os.urandom(5 * CHUNK_BYTES)
    writing = asyncio.ensure_future(write_all(write, data))
    got = b""
    while len(got) < len(data):
        got += await read_some(read)
    await writing
    assert got == data


async def test_a_cancelled_read_leaves_the_descriptor_to_the_next(pipe: tuple[int, int]) -> None:
    read, write = pipe
    reading = asyncio.ensure_future(read_some(read))
    for _ in range(3):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    os.write(write, b"kept")
    assert await read_some(read) == b"kept"


async def test_a_terminal_without_its_other_side_has_ended() -> None:
    master, slave = os.openpty()
    prepare(master)
    os.write(slave, b"last")
    os.close(slave)
    assert await read_some(master) == b"last"
    assert await read_some(master) == b""
    os.close(master)


async def test_writing_to_a_closed_pipe_is_an_error(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.close(read)
    with pytest.raises(BrokenPipeError):
        await write_all(write, b"x")
