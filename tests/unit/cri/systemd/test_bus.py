import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from jeepney.wrappers import DBusAddress

from cri.systemd.bus import Bus
from host.dbus import BusUnavailable, CallFailed
from tests.unit.cri.systemd.served import ServedBus, fails, job, returns, served

OTHER = DBusAddress("/a/b", "org.example", "org.example.I")


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[ServedBus]:
    async with served(tmp_path) as bus:
        yield bus


@pytest.fixture
async def bus(other: ServedBus) -> AsyncIterator[Bus]:
    made = Bus(address=other.address)
    yield made
    await made.close()


async def test_an_answer_comes_back(bus: Bus, other: ServedBus) -> None:
    other.answers["Ask"] = returns("su", "yes", 7)
    assert await bus.call(OTHER, "Ask", "s", ("why",)) == ("yes", 7)


async def test_answers_find_their_calls_in_any_order(bus: Bus, other: ServedBus) -> None:
    late: list[object] = []

    def hold(_: ServedBus, call: object) -> list[object]:
        late.append(call)
        return []

    other.answers["Slow"] = hold
    other.answers["Quick"] = lambda server, call: [
        *returns("s", "quick")(server, call),
        *returns("s", "slow")(server, late[0]),
    ]
    slow = asyncio.create_task(bus.call(OTHER, "Slow"))
    while not late:
        await asyncio.sleep(0)
    assert await bus.call(OTHER, "Quick") == ("quick",)
    assert await slow == ("slow",)


async def test_an_error_has_its_name_and_words(bus: Bus, other: ServedBus) -> None:
    other.answers["Ask"] = fails("org.example.No", "not today")
    with pytest.raises(CallFailed) as caught:
        await bus.call(OTHER, "Ask")
    assert (caught.value.name, caught.value.words) == ("org.example.No", "not today")


async def test_a_bus_that_restarts_fails_calls_and_is_found_again(bus: Bus, other: ServedBus) -> None:
    hanging = asyncio.create_task(bus.call(OTHER, "Hang"))
    while "Hang" not in other.heard:
        await asyncio.sleep(0)
    other.hang_up()
    with pytest.raises(BusUnavailable, match="went away"):
        await hanging
    other.answers["Ask"] = returns("s", "again")
    assert await bus.call(OTHER, "Ask") == ("again",)
    assert other.greetings == 2


async def test_one_connection_serves_all_calls(bus: Bus, other: ServedBus) -> None:
    other.answers["Ask"] = returns("s", "yes")
    await asyncio.gather(*(bus.call(OTHER, "Ask") for _ in range(5)))
    assert other.greetings == 1


async def test_no_answer_in_time_is_an_error(other: ServedBus) -> None:
    bus = Bus(address=other.address, timeout_s=0.05)
    with pytest.raises(BusUnavailable, match=r"no answer to Hang within 0\.05 s"):
        await bus.call(OTHER, "Hang")
    await bus.close()


async def test_no_bus_is_an_error_with_the_address(tmp_path: Path) -> None:
    bus = Bus(address=f"unix:path={tmp_path}/none")
    with pytest.raises(BusUnavailable, match=rf"no system bus at unix:path={tmp_path}/none: .*No such file"):
        await bus.call(OTHER, "Ask")


async def test_what_is_no_dbus_is_an_error(tmp_path: Path) -> None:
    async def rude(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(rude, tmp_path / "bus")
    bus = Bus(address=f"unix:path={tmp_path}/bus")
    with pytest.raises(BusUnavailable, match="no system bus at"):
        await bus.call(OTHER, "Ask")
    server.close()


async def test_signals_arrive(other: ServedBus) -> None:
    seen: list[tuple[str, tuple[object, ...]]] = []
    bus = Bus(("type='signal'",), lambda *one: seen.append(one), address=other.address)
    other.answers["Ask"] = job("done", signal_first=True)
    await bus.call(OTHER, "Ask")
    assert [member for member, _ in seen] == ["JobRemoved"]
    assert other.heard == ["Hello", "AddMatch", "Ask"]
    await bus.close()
