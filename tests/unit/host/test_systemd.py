"""The blocking client of systemd, against a bus that is served in a thread."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.dbus import BusUnavailable
from host.system_bus import BlockingBus, address_of, socket_of
from host.systemd import BlockingManager, NoSuchUnit, UnitExists, UnitFailed, escape
from tests.unit.cri.systemd.served import ServedBus, fails, job, returns, served


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[ServedBus]:
    """Served by a loop of its own, for the client blocks."""
    ready, ended = threading.Event(), asyncio.Event()
    found: list[tuple[ServedBus, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with served(tmp_path) as bus:
            found.append((bus, asyncio.get_running_loop()))
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    bus, loop = found[0]
    yield bus
    loop.call_soon_threadsafe(ended.set)
    thread.join()


@pytest.fixture
def manager(systemd: ServedBus) -> Iterator[BlockingManager]:
    made = BlockingManager(address=systemd.address, timeout_s=20)
    yield made
    made.close()


@pytest.mark.parametrize("signal_first", [False, True])
def test_a_unit_is_started_when_its_job_has_ended(
    systemd: ServedBus, manager: BlockingManager, signal_first: bool
) -> None:
    systemd.answers["StartTransientUnit"] = job("done", signal_first=signal_first)
    manager.start("x.scope", [("PIDs", "au", [1])])
    assert systemd.heard == ["Hello", "AddMatch", "StartTransientUnit"]


def test_a_job_that_fails_names_unit_and_result(systemd: ServedBus, manager: BlockingManager) -> None:
    systemd.answers["StartTransientUnit"] = job("timeout")
    with pytest.raises(UnitFailed, match=r"StartTransientUnit of x\.scope ended with the result timeout"):
        manager.start("x.scope", [])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("org.freedesktop.systemd1.UnitExists", UnitExists),
        ("org.freedesktop.DBus.Error.AccessDenied", UnitFailed),
    ],
)
def test_errors_have_a_meaning_and_systemds_words(
    systemd: ServedBus, manager: BlockingManager, name: str, error: type[Exception]
) -> None:
    systemd.answers["StartTransientUnit"] = fails(name, "not with this one")
    with pytest.raises(error, match=r"StartTransientUnit of x\.scope: not with this one"):
        manager.start("x.scope", [])


def test_a_unit_that_is_not_there_is_stopped_and_forgotten(
    systemd: ServedBus, manager: BlockingManager
) -> None:
    for method in ("StopUnit", "ResetFailedUnit", "SetUnitProperties"):
        systemd.answers[method] = fails("org.freedesktop.systemd1.NoSuchUnit", "not loaded")
    manager.stop("x.scope")
    manager.reset_failed("x.scope")
    with pytest.raises(NoSuchUnit):
        manager.set_properties("x.scope", [])


def test_what_it_tells(systemd: ServedBus, manager: BlockingManager) -> None:
    systemd.answers["Get"] = returns("v", ("s", "257.1-2"))
    assert manager.version() == 257
    systemd.answers["Get"] = returns("v", ("s", "/a.slice/x.scope"))
    assert manager.control_group("x.scope") == "/a.slice/x.scope"
    systemd.answers["Get"] = returns("v", ("s", ""))
    with pytest.raises(UnitFailed, match=r"no cgroup for x\.scope"):
        manager.control_group("x.scope")


def test_properties_are_in_force_when_they_are_set(systemd: ServedBus, manager: BlockingManager) -> None:
    systemd.answers["SetUnitProperties"] = returns("")
    systemd.answers["Get"] = returns("v", ("s", "x"))
    manager.set_properties("x.scope", [("CPUWeight", "t", 1)])
    assert systemd.heard[-2:] == ["SetUnitProperties", "Get"]


def test_no_answer_is_an_error_in_time(systemd: ServedBus) -> None:
    bus = BlockingBus(systemd.address, timeout_s=0.05)
    with pytest.raises(BusUnavailable, match=r"no answer to Silence within 0\.05 s"):
        bus.call("a.b", "/c", "a.b", "Silence")
    with pytest.raises(BusUnavailable, match="within"):
        bus.next_signal(0.01)
    bus.close()


def test_no_bus(tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match=r"no bus at unix:path=.*/none"):
        BlockingBus(f"unix:path={tmp_path}/none")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("unix:path=/run/x", "/run/x"),
        ("tcp:host=a;unix:guid=1,path=/run/y", "/run/y"),
        ("unix:abstract=z,guid=5", "\0z"),
    ],
)
def test_addresses(address: str, path: str) -> None:
    assert socket_of(address) == path


def test_an_address_without_a_socket() -> None:
    with pytest.raises(BusUnavailable, match="no UNIX socket"):
        socket_of("tcp:host=a,port=1")


def test_where_the_buses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")
    assert address_of(user=False) == "unix:path=/run/dbus/system_bus_socket"
    assert address_of(user=True) == "unix:path=/run/user/5/bus"


@pytest.mark.parametrize(
    ("unit", "path"),
    [("a.slice", "a_2eslice"), ("a-b.scope", "a_2db_2escope"), ("1a.scope", "_31a_2escope")],
)
def test_names_as_parts_of_object_paths(unit: str, path: str) -> None:
    assert escape(unit) == path
