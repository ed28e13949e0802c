import asyncio
import json
import os

import pytest

from api.errors import NotFound
from cri.streaming.backend import Stdio, Streams
from cri.streaming.command_session import CommandSession
from cri.streaming.remotecommand_spdy import SpdyCommand
from cri.streaming.spdy import Connection
from cri.streaming.spdy_events import DataReceived
from cri.streaming.timeouts import Timeouts
from tests.unit.cri.streaming.links import FakeLink

TERMINAL = Streams(stdin=True, stdout=True, tty=True)
TIMEOUTS = Timeouts(stream_creation_s=0.05, quiet_after_exit_s=0.05, linger_s=0.05, departure_check_s=0.01)


class FakeSession:
    """A process without descriptors that ends when it is told; implements Session."""

    def __init__(self, stdio: Stdio) -> None:
        self.stdio = stdio
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sizes: list[tuple[int, int]] = []
        self.closed = 0

    async def wait(self) -> int:
        return await asyncio.shield(self.exit)

    async def input_ended(self) -> None:
        pass

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def close(self, *, kill: bool) -> None:
        self.closed += 1


class Terminal:
    """A client at a terminal, its session and the process behind it."""

    def __init__(self) -> None:
        self.link = FakeLink()
        self.client = Connection(client=True)
        self.session = FakeSession(Stdio())
        self.starts = 0
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.failure: Exception | None = None
        self.ids: dict[str, int] = {}

    def open(self, *names: str) -> None:
        for name in names:
            self.ids[name], data = self.client.open_stream({"streamType": (name,)})
            self.link.say(data)

    async def start(self) -> FakeSession:
        self.starts += 1
        await self.may_start.wait()
        if self.failure is not None:
            raise self.failure
        return self.session

    def run(self) -> "asyncio.Task[None]":
        command = CommandSession(self.link, SpdyCommand(TERMINAL, 4), self.start, TIMEOUTS)
        return asyncio.create_task(command.run())

    def status(self) -> dict[str, object]:
        events = self.client.receive(bytes(self.link.heard))
        said = [event.data for event in events if isinstance(event, DataReceived) and event.data]
        status: dict[str, object] = json.loads(said[-1])
        return status


@pytest.fixture
async def terminal() -> Terminal:
    return Terminal()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_starts_before_every_stream_is_there(terminal: Terminal) -> None:
    terminal.open("error", "stdin", "stdout")
    await terminal.run()
    assert terminal.starts == 0
    assert terminal.session.closed == 0


async def test_a_size_that_comes_before_the_process_is_set_when_it_is_there(terminal: Terminal) -> None:
    terminal.may_start.clear()
    terminal.open("error", "stdin", "stdout", "resize")
    for width in (80, 90):
        size = b'{"Width":%d,"Height":24}' % width
        terminal.link.say(terminal.client.send_data(terminal.ids["resize"], size))
    running = terminal.run()
    await turns()
    terminal.may_start.set()
    await turns()
    assert terminal.session.sizes == [(90, 24)]
    terminal.session.exit.set_result(0)
    await running
    assert terminal.status() == {"metadata": {}, "status": "Success"}
    assert terminal.session.closed == 1


async def test_after_the_status_the_link_is_ended_and_the_client_waited_for(terminal: Terminal) -> None:
    terminal.open("error", "stdin", "stdout", "resize")
    terminal.session.exit.set_result(0)
    running = terminal.run()
    while not terminal.link.ended:
        await asyncio.sleep(0)
    assert not running.done()
    terminal.link.say(b"")
    await running


@pytest.mark.parametrize("said", [b"", b"\x80\x02 no SPDY"])
async def test_a_client_that_leaves_lets_the_process_go_without_a_status(
    terminal: Terminal, said: bytes
) -> None:
    terminal.open("error", "stdin", "stdout", "resize")
    running = terminal.run()
    await turns()
    terminal.link.say(said)
    await running
    assert terminal.session.closed == 1
    assert b"Success" not in terminal.link.heard


async def test_a_start_under_way_is_awaited_before_it_is_let_go(terminal: Terminal) -> None:
    terminal.may_start.clear()
    read, write = os.pipe()
    terminal.session.stdio = Stdio(stdin=write)
    terminal.open("error", "stdin", "stdout", "resize")
    running = terminal.run()
    await turns()
    terminal.link.say(b"")
    await turns()
    assert not running.done()
    terminal.may_start.set()
    await running
    assert terminal.session.closed == 1
    assert os.read(read, 1) == b""
    os.close(read)


@pytest.mark.parametrize(
    ("failure", "text"), [(NotFound("no such container"), "no such container"), (OSError("x"), "x")]
)
async def test_a_failed_start_is_the_status(terminal: Terminal, failure: Exception, text: str) -> None:
    terminal.failure = failure
    terminal.open("error", "stdin", "stdout", "resize")
    await terminal.run()
    status = terminal.status()
    assert status["reason"] == "InternalError"
    assert text in str(status["message"])
    assert terminal.session.closed == 0


async def test_a_process_that_reads_nothing_holds_the_client_until_it_is_gone(terminal: Terminal) -> None:
    terminal.open("error", "stdin", "stdout", "resize")
    read, write = os.pipe()
    terminal.session.stdio = Stdio(stdin=write)
    for _ in range(4):
        terminal.link.say(terminal.client.send_data(terminal.ids["stdin"], bytes(1 << 18)))
    running = terminal.run()
    await turns()
    assert not running.done()
    terminal.link.gone = True
    await running
    assert terminal.session.closed == 1
    os.close(read)
