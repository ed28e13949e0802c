import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from cri.streaming.wire import Wire
from host.fds import receive_message, send_message
from tests.harness.processes import descriptor_count


class Ends:
    def __init__(self) -> None:
        ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.peer.setblocking(False)
        self.heard: list[tuple[bytes, list[int]]] = []
        self.reasons: list[str] = []
        self.wire = Wire(ours, self._hear, self.reasons.append, longest_bytes=64)

    def _hear(self, data: bytes, descriptors: list[int]) -> None:
        self.heard.append((data, descriptors))


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends = Ends()
    yield ends
    ends.wire.close()
    ends.peer.close()


async def until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0)


async def test_messages_come_with_their_descriptors(ends: Ends) -> None:
    reading, writing = os.pipe()
    send_message(ends.peer, b"one", [writing])
    os.close(writing)
    await until(lambda: ends.heard)
    [(data, [descriptor])] = ends.heard
    os.write(descriptor, b"x")
    os.close(descriptor)
    assert (data, os.read(reading, 10)) == (b"one", b"x")
    os.close(reading)


async def test_what_is_sent_keeps_its_order_when_the_socket_is_full_and_its_descriptors_are_closed(
    ends: Ends,
) -> None:
    before = descriptor_count()
    for number in range(1000):
        ends.wire.send(b"%d" % number + bytes(3000), [os.open("/dev/null", os.O_RDONLY)])
    assert descriptor_count() > before
    for number in range(1000):
        while True:
            try:
                data, given = receive_message(ends.peer, 4096)
                break
            except BlockingIOError:
                await asyncio.sleep(0)
        assert data.startswith(b"%d\0" % number)
        for descriptor in given:
            os.close(descriptor)
    assert descriptor_count() == before


async def test_a_side_that_reads_nothing_is_given_up_with_all_that_waits_for_it(ends: Ends) -> None:
    before = descriptor_count()
    for _ in range(2000):
        ends.wire.send(bytes(3000), [os.dup(0)])
    await until(lambda: ends.reasons)
    assert ends.reasons == ["it does not read what it is sent"]
    ends.peer.close()
    assert descriptor_count() == before - 2


@pytest.mark.parametrize("said", [bytes(65), None])
async def test_a_message_too_long_or_an_end_is_told_once(ends: Ends, said: bytes | None) -> None:
    if said is None:
        ends.peer.close()
    else:
        send_message(ends.peer, said)
    await until(lambda: ends.reasons)
    ends.wire.fail("again")
    await asyncio.sleep(0)
    assert len(ends.reasons) == 1
    assert not ends.wire.open


async def test_a_flood_is_heard_in_batches_with_pauses(ends: Ends) -> None:
    for _ in range(100):
        send_message(ends.peer, b"x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < len(ends.heard) < 100
    await until(lambda: len(ends.heard) == 100)
