import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from cri.streaming import control
from cri.streaming.backend import AttachRequest, ExecRequest, PortForwardRequest, Streams
from cri.streaming.control import Close, Dial, InputEnded, Json, Resize, Start, Take
from cri.streaming.process.remote import Daemon, DaemonSaid, Grant, TooManyConnections
from host.fds import receive_message, send_message
from tests.harness.processes import descriptor_count

STREAMS = {"stdin": True, "stdout": True, "stderr": False, "tty": False}


class Other:
    """The daemon's end, by hand."""

    def __init__(self) -> None:
        self.sock, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)
        self.told: list[Json] = []
        self.lost: list[str] = []
        self.daemon = Daemon(
            ours,
            tell=lambda message, _: self.told.append(message),
            lost=self.lost.append,
            highest_descriptor=500,
        )

    async def hear(self) -> control.Request:
        async with asyncio.timeout(20):
            while True:
                try:
                    return control.decode_request(receive_message(self.sock, control.REQUEST_BYTES)[0])
                except BlockingIOError:
                    await asyncio.sleep(0)

    def say(self, message: Json, *descriptors: int) -> None:
        send_message(self.sock, control.encode(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    async def granted(self, kind: str, **terms: object) -> Grant:
        taking = asyncio.ensure_future(self.daemon.take(kind, "token"))
        request = await self.hear()
        assert isinstance(request, Take)
        self.say({"ok": request.rid, "session": 7, **terms})
        grant = await taking
        assert grant is not None
        return grant


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    other = Other()
    yield other
    other.daemon._wire.close()
    other.sock.close()


async def test_a_token_brings_what_a_client_may_do(other: Other) -> None:
    streams = Streams(stdin=True, stdout=True)
    assert (await other.granted("exec", streams=STREAMS)).request == ExecRequest("", (), streams)
    assert (await other.granted("attach", streams=STREAMS)).request == AttachRequest("", streams)
    assert (await other.granted("portforward", ports=[80])).request == PortForwardRequest("", (80,))


async def test_a_token_that_is_not_good_brings_nothing_and_a_full_house_its_words(other: Other) -> None:
    taking = asyncio.ensure_future(other.daemon.take("exec", "token"))
    assert await other.hear() == Take(1, "exec", "token")
    other.say({"ok": 1})
    assert await taking is None
    taking = asyncio.ensure_future(other.daemon.take("exec", "token"))
    await other.hear()
    other.say({"error": 2, "message": "full"})
    with pytest.raises(DaemonSaid, match="full"):
        await taking


async def test_a_session_has_the_descriptors_that_came_and_ends_as_it_is_told(other: Other) -> None:
    grant = await other.granted("exec", streams=STREAMS)
    starting = asyncio.ensure_future(grant.exec(ExecRequest("", (), Streams())))
    assert await other.hear() == Start(2, 7)
    theirs, ours = os.pipe()
    other.say({"ok": 2, "stdio": ["stdin", "stdout"]}, ours, theirs)
    session = await starting
    assert session.stdio.stderr is session.stdio.tty is None
    assert session.stdio.stdin is not None
    assert session.stdio.stdout is not None
    os.write(session.stdio.stdin, b"x")
    assert os.read(session.stdio.stdout, 2) == b"x"
    await session.input_ended()
    assert await other.hear() == InputEnded(7)
    resizing = asyncio.ensure_future(session.resize(80, 24))
    assert await other.hear() == Resize(3, 7, 80, 24)
    other.say({"ok": 3})
    await resizing
    waiting = asyncio.ensure_future(session.wait())
    other.say({"ended": 7, "code": 3})
    assert await waiting == 3
    await session.close(kill=True)
    assert await other.hear() == Close(7, kill=True)
    grant.close()  # says nothing more
    for descriptor in session.stdio.all():
        os.close(descriptor)


async def test_a_lost_process_is_told_by_wait(other: Other) -> None:
    grant = await other.granted("exec", streams=STREAMS)
    other.say({"ended": 7, "error": "the process was lost"})
    with pytest.raises(DaemonSaid, match="lost"):
        await grant.wait()


async def test_a_pods_connection_comes_unless_there_is_no_room(other: Other) -> None:
    grant = await other.granted("portforward", ports=[80])
    dialling = asyncio.ensure_future(grant.dial("", 80))
    assert await other.hear() == Dial(2, 7, 80)
    other.say({"ok": 2}, socket.socket().detach())
    with await dialling as pod:
        assert not pod.getblocking()
    other.daemon._highest = 0
    before = descriptor_count()
    dialling = asyncio.ensure_future(grant.dial("", 80))
    await other.hear()
    other.say({"ok": 3}, socket.socket().detach())
    with pytest.raises(TooManyConnections):
        await dialling
    assert descriptor_count() == before


async def test_what_comes_for_nobody_is_closed(other: Other) -> None:
    grant = await other.granted("portforward", ports=[80])
    before = descriptor_count()
    dialling = asyncio.ensure_future(grant.dial("", 80))
    await other.hear()
    dialling.cancel()
    await asyncio.gather(dialling, return_exceptions=True)
    other.say({"ok": 2}, os.dup(0))
    other.say({"ok": 99}, os.dup(0))
    other.say({"error": 98, "message": ""}, os.dup(0))
    other.say({"ended": 97, "code": 0}, os.dup(0))
    other.say({"tls": {}})
    async with asyncio.timeout(20):
        while not other.told:
            await asyncio.sleep(0)
    assert descriptor_count() == before


async def test_the_end_of_the_daemon_is_told(other: Other) -> None:
    other.sock.close()
    async with asyncio.timeout(20):
        while not other.lost:
            await asyncio.sleep(0)
