import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from cri.streaming.link import BUFFER_BYTES, Link, linger
from tests.unit.cri.streaming.links import FakeLink


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Link, socket.socket, Clock]]:
    """A link and the client's end of its TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    client.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=served, limit=BUFFER_BYTES)
    clock = Clock()
    link = Link(reader, writer, clock, served)
    yield link, client, clock
    client.close()
    await link.close(1.0)


async def test_bytes_pass_both_ways_and_are_activity(ends: tuple[Link, socket.socket, Clock]) -> None:
    link, client, clock = ends
    loop = asyncio.get_running_loop()
    clock.now = 5.0
    await loop.sock_sendall(client, b"ask")
    assert await link.read() == b"ask"
    assert link.last_activity_s == 5.0
    clock.now = 6.0
    link.write(b"answer")
    await link.flush()
    assert await loop.sock_recv(client, 10) == b"answer"
    assert link.last_activity_s == 6.0


async def test_pieces_come_whole_and_in_order_however_slowly_they_are_taken(
    ends: tuple[Link, socket.socket, Clock],
) -> None:
    link, client, _ = ends
    loop = asyncio.get_running_loop()
    pieces = [bytes([number]) * size for number, size in enumerate((8, 3_000_000, 0, 9, 3_000_000))]
    expected = b"".join(pieces) + b"one more" + b"".join(pieces)
    link.write_pieces(pieces)  # more than the socket takes at once
    link.write(b"one more")
    link.write_pieces(pieces)  # after what waits
    flushing = asyncio.ensure_future(link.flush())
    got = bytearray()
    while len(got) < len(expected):
        got += await loop.sock_recv(client, 1 << 16)
    assert got == expected
    await flushing


async def test_what_is_pushed_back_is_read_first(ends: tuple[Link, socket.socket, Clock]) -> None:
    link, client, _ = ends
    link.push_back(b"first")
    await asyncio.get_running_loop().sock_sendall(client, b"second")
    assert [await link.read(), await link.read()] == [b"first", b"second"]


async def test_after_the_end_nothing_is_written(ends: tuple[Link, socket.socket, Clock]) -> None:
    link, client, _ = ends
    link.write(b"last")
    link.end()
    link.write(b"late")
    await link.drain()
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(client, 10) == b"last"
    assert await loop.sock_recv(client, 10) == b""


async def test_writing_to_a_client_that_does_not_read_waits(ends: tuple[Link, socket.socket, Clock]) -> None:
    link, _, _ = ends

    async def flood() -> None:
        while True:
            link.write(bytes(BUFFER_BYTES))
            await link.drain()

    flooding = asyncio.ensure_future(flood())
    while not link.congested:
        await asyncio.sleep(0)
    assert not flooding.done()
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    assert not link.congested


async def test_a_client_that_closes_behind_unread_bytes_is_seen(
    ends: tuple[Link, socket.socket, Clock],
) -> None:
    link, client, _ = ends
    assert not link.peer_has_closed()
    await asyncio.get_running_loop().sock_sendall(client, b"unread")
    client.shutdown(socket.SHUT_WR)
    while not link.peer_has_closed():
        await asyncio.sleep(0)
    assert await link.read() == b"unread"


async def test_a_broken_connection_is_an_end(ends: tuple[Link, socket.socket, Clock]) -> None:
    link, client, _ = ends
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert await link.read() == b""
    link.write(b"late")
    await link.drain()
    link.end()
    assert link.peer_has_closed()


async def test_lingering_reads_to_the_end_or_until_its_time_is_over() -> None:
    link = FakeLink()
    for said in (b"rest", b"more", b""):
        link.say(said)
    await linger(link, 10.0)
    link.say(b"and on")
    await linger(link, 0.01)
    link.say(b"next")
    assert await link.read() == b"next"
