import asyncio
import os
from collections.abc import Callable

import pytest

from api.errors import Internal
from cri.streaming.backend import Stdio
from cri.streaming.inflow import Inflow
from cri.streaming.process_side import ProcessSide
from cri.streaming.remotecommand import Channel
from cri.streaming.resize import Size
from cri.streaming.status import Exited, Failed, Outcome
from tests.unit.cri.streaming.links import FakeLink


class FakeSession:
    """A process whose far ends the test holds; implements Session."""

    def __init__(self, stdio: Stdio) -> None:
        self.stdio = stdio
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sizes: list[tuple[int, int]] = []
        self.refuses_size = False
        self.closed = 0

    async def wait(self) -> int:
        return await asyncio.shield(self.exit)

    async def input_ended(self) -> None:
        pass

    async def resize(self, width: int, height: int) -> None:
        if self.refuses_size:
            raise Internal("no terminal")
        self.sizes.append((width, height))

    async def close(self, *, kill: bool) -> None:
        assert not kill
        self.closed += 1


def frame(channel: Channel, data: bytes) -> tuple[bytes, ...]:
    return channel.encode() + b":", data, b" "


def side_of(session: FakeSession) -> tuple[ProcessSide, FakeLink]:
    link = FakeLink()
    return ProcessSide(session, link, frame, quiet_s=0.05), link


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


Run = Callable[[ProcessSide, Inflow], "asyncio.Future[Outcome]"]


def run(side: ProcessSide, stdin: Inflow) -> "asyncio.Future[Outcome]":
    return asyncio.ensure_future(side.run(stdin))


def run_attached(side: ProcessSide, stdin: Inflow) -> "asyncio.Future[Outcome]":
    return asyncio.ensure_future(side.run_attached(stdin))


async def test_output_after_the_exit_still_counts() -> None:
    read, write = os.pipe()
    session = FakeSession(Stdio(stdout=read))
    side, link = side_of(session)
    running = run(side, Inflow(10))
    session.exit.set_result(4)
    await asyncio.sleep(0)
    os.write(write, b"late")
    os.close(write)
    assert await running == Exited(4)
    assert link.heard == b"stdout:late "
    await side.close()
    assert session.closed == 1


async def test_output_that_stays_open_is_given_up_when_silent() -> None:
    read, write = os.pipe()
    session = FakeSession(Stdio(stderr=read))
    side, link = side_of(session)
    os.write(write, b"before")
    session.exit.set_result(0)
    assert await run(side, Inflow(10)) == Exited(0)
    assert link.heard == b"stderr:before "
    assert not is_open(read)
    os.close(write)
    await side.close()


@pytest.mark.parametrize("start", [run, run_attached])
@pytest.mark.parametrize(
    ("error", "text"),
    [(Internal("monitor is gone"), "monitor is gone"), (KeyError("x"), "the process was lost")],
)
async def test_a_lost_process_is_a_failure(start: Run, error: Exception, text: str) -> None:
    read, write = os.pipe()
    session = FakeSession(Stdio(stdout=read))
    side, _ = side_of(session)
    session.exit.set_exception(error)
    outcome = await start(side, Inflow(10))
    assert isinstance(outcome, Failed)
    assert text in outcome.message
    os.close(write)
    await side.close()


@pytest.mark.parametrize("start", [run, run_attached])
async def test_the_end_of_input_closes_a_pipe(start: Run) -> None:
    read, write = os.pipe()
    session = FakeSession(Stdio(stdin=write))
    side, _ = side_of(session)
    stdin = Inflow(10)
    running = start(side, stdin)
    stdin.put(b"in")
    stdin.end()
    while is_open(write):
        await asyncio.sleep(0)
    assert os.read(read, 10) == b"in"
    assert os.read(read, 10) == b""
    session.exit.set_result(0)
    assert await running == Exited(0)
    os.close(read)
    await side.close()


async def test_the_end_of_input_leaves_a_terminal_open() -> None:
    master, slave = os.openpty()
    session = FakeSession(Stdio(tty=master))
    side, link = side_of(session)
    stdin = Inflow(10)
    running = run(side, stdin)
    stdin.end()
    for _ in range(5):
        await asyncio.sleep(0)
    os.write(slave, b"still here")
    os.close(slave)
    session.exit.set_result(0)
    assert await running == Exited(0)
    assert link.heard == b"stdout:still here "
    assert is_open(master)
    await side.close()
    assert not is_open(master)


async def test_attached_ends_when_the_outputs_do() -> None:
    read, write = os.pipe()
    session = FakeSession(Stdio(stdout=read))
    side, link = side_of(session)
    os.write(write, b"bye")
    os.close(write)
    assert await run_attached(side, Inflow(10)) == Exited(0)
    assert link.heard == b"stdout:bye "
    await side.close()


async def test_input_to_a_process_that_closed_it_vanishes() -> None:
    read, write = os.pipe()
    os.close(read)
    session = FakeSession(Stdio(stdin=write))
    side, _ = side_of(session)
    stdin = Inflow(1)
    running = run(side, stdin)
    stdin.put(b"nobody reads this")
    await stdin.room()
    stdin.put(b"nor this")
    session.exit.set_result(0)
    assert await running == Exited(0)
    await side.close()


async def test_a_refused_output_is_closed() -> None:
    read, write = os.pipe()
    session = FakeSession(Stdio(stdout=read))
    side, _ = side_of(session)
    running = run(side, Inflow(10))
    await asyncio.sleep(0)
    side.refuse(Channel.STDERR)
    side.refuse(Channel.STDOUT)
    while is_open(read):
        await asyncio.sleep(0)
    with pytest.raises(BrokenPipeError):
        os.write(write, b"x")
    session.exit.set_result(0)
    assert await running == Exited(0)
    os.close(write)
    await side.close()


async def test_a_size_that_cannot_be_set_costs_nothing_else() -> None:
    session = FakeSession(Stdio())
    side, _ = side_of(session)
    await side.resize(Size(80, 24))
    session.refuses_size = True
    await side.resize(Size(81, 25))
    assert session.sizes == [(80, 24)]
    await side.close()
