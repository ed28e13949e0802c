"""The link to the monitor, over monitors that die at every word of their own recovery."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from host.fds import receive_message, send_message
from oci.monitor import launch, protocol
from oci.monitor.connection import Connection
from oci.monitor.link import Link
from oci.monitor.protocol import Json
from oci.monitor.types import MonitorUnavailable


class Monitors:
    """Stands in for launch: each monitor answers so many requests, and dies at the next; then none starts."""

    def __init__(self, *lives: int) -> None:
        self.lives = list(lives)
        self.living: list[socket.socket] = []

    async def connect(
        self, directory: Path, *, start: bool, timeout_s: float
    ) -> tuple[socket.socket, int | None]:
        del directory, start, timeout_s
        if not self.lives:
            raise MonitorUnavailable("none starts")
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        its.setblocking(False)
        self.living.append(its)
        left = self.lives.pop(0)

        def serve() -> None:
            nonlocal left
            data, _ = receive_message(its, protocol.MESSAGE_LIMIT)
            if not data or not left:
                self.kill(its)
                return
            left -= 1
            request = json.loads(data)
            answers: dict[str, Json] = {
                "hello": {"version": protocol.VERSION, "pid": os.getpid()},
                "list": {"records": []},
            }
            send_message(its, protocol.encode_reply(request["rid"], answers.get(request["op"], {})))

        asyncio.get_running_loop().add_reader(its, serve)
        return ours, None

    def kill(self, one: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(one)
        self.living.remove(one)
        one.close()


@pytest.fixture
def linked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Link]:
    async def house(_: int) -> None: ...

    monkeypatch.setattr("oci.monitor.link._RESTART_DELAY_S", (0.0,))

    def make(monitors: Monitors, timeout_s: float = 30.0) -> Link:
        async def hand_over(connection: Connection) -> None:
            await link.in_time(protocol.Settle(), connection.request(protocol.Settle()))
            await link.records(connection)

        monkeypatch.setattr(launch, "connect", monitors.connect)
        link = Link(Path("/nowhere"), timeout_s, house, lambda _: None, lambda: None, hand_over)
        return link

    return make


# A recovery says hello, hands over and lists: the monitor dies at each of these words, or right after.
@pytest.mark.parametrize("words", range(4))
async def test_a_monitor_that_dies_in_its_own_recovery_is_replaced(
    linked: Callable[..., Link], words: int
) -> None:
    monitors = Monitors(1, words, words, 100)
    link = linked(monitors)
    await link.connect(start=True)
    asked = [asyncio.create_task(link.request(protocol.CloseStdin("c"))) for _ in range(3)]
    async with asyncio.timeout(30):
        await asyncio.gather(*asked)
    assert not monitors.lives
    assert await link.records() == []
    await link.close()
    monitors.kill(monitors.living[-1])


@pytest.mark.parametrize("deaths", range(1, 6))
async def test_monitors_that_die_at_the_first_word_keep_no_daemon_from_starting(
    linked: Callable[..., Link], monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    monkeypatch.setattr("oci.monitor.link._RESTART_DELAY_S", (0.0,) * 5)
    monitors = Monitors(*[0] * deaths, 100)
    link = linked(monitors)
    await link.connect(start=True)
    assert await link.records() == []
    await link.close()
    monitors.kill(monitors.living[-1])


async def test_when_each_dies_at_the_first_word_that_is_said(linked: Callable[..., Link]) -> None:
    link = linked(Monitors(0, 0, 100))
    with pytest.raises(MonitorUnavailable, match="went away"):
        await link.connect(start=True)
    await link.close()


async def test_sixty_that_die_in_a_row_leave_the_daemon_its_turns(linked: Callable[..., Link]) -> None:
    """Each at another word of its recovery; everybody else goes on meanwhile."""
    monitors = Monitors(1, *(number % 4 for number in range(60)), 100)
    link = linked(monitors)
    await link.connect(start=True)
    asked = asyncio.create_task(link.request(protocol.CloseStdin("c")))
    seen = set()
    async with asyncio.timeout(60):
        while not asked.done():
            seen.add(len(monitors.lives))
            await asyncio.sleep(0)
    assert seen >= set(range(60)), "between any two deaths others had a turn"
    assert await link.records() == []
    await link.close()
    monitors.kill(monitors.living[-1])


ASK: list[Callable[[Link], Awaitable[object]]] = [
    lambda link: link.request(protocol.CloseStdin("c")),
    lambda link: link.request_once(protocol.CloseStdin("c")),
    lambda link: link.records(),
]


@pytest.mark.parametrize("ask", ASK)
async def test_nobody_waits_for_ever_for_a_monitor_that_does_not_come(
    linked: Callable[..., Link], ask: Callable[[Link], Awaitable[object]]
) -> None:
    monitors = Monitors(1)
    link = linked(monitors, timeout_s=0.05)
    await link.connect(start=True)
    monitors.kill(monitors.living[0])
    with pytest.raises(MonitorUnavailable):
        await ask(link)
    with pytest.raises(MonitorUnavailable, match=r"within 0\.05 s"):
        await ask(link)
    await link.close()


async def test_a_command_is_asked_for_once(linked: Callable[..., Link]) -> None:
    monitors = Monitors(1, 100)
    link = linked(monitors)
    await link.connect(start=True)
    with pytest.raises(MonitorUnavailable, match="before it answered"):
        await link.request_once(protocol.CloseStdin("c"))
    await link.request_once(protocol.CloseStdin("c"))
    await link.close()
    monitors.kill(monitors.living[-1])
