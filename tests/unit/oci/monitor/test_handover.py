"""The hand-over to a new monitor: each container by itself, and no descriptor but its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from api.ids import ContainerId
from host.fds import DescriptorClosed
from oci.monitor import protocol
from oci.monitor.connection import Connection, OnBegun, Reply
from oci.monitor.exec_table import Execs
from oci.monitor.handover import Handover
from oci.monitor.holdings import Held, Holdings, Stage
from oci.monitor.link import Link
from oci.monitor.protocol import Request
from oci.monitor.types import MonitorFailed, MonitorUnavailable
from tests.unit.oci.monitor.test_protocol import RECORD

NAMES = ["a", "b", "c"]


class Successor:
    """A new monitor, which notes whose descriptors come, and does as it is told with some containers."""

    def __init__(self, holdings: Holdings) -> None:
        self.is_open = True
        self.taken: dict[str, str] = {}
        self.posted: list[Request] = []
        self.refuses: set[str] = set()
        self.dies_over: set[str] = set()
        self.ends_at: dict[str, str] = {}  # while the first is taken over, the second ends
        self._holdings = holdings

    async def request(
        self, request: Request, descriptors: Sequence[int] = (), on_begun: OnBegun | None = None
    ) -> Reply:
        assert isinstance(request, protocol.Adopt)
        name = str(request.record["id"])
        content = os.pread(descriptors[request.streams.index("stdout")], 100, 0).decode()
        await asyncio.sleep(0)
        if name in self.ends_at:
            self._holdings.release(ContainerId(self.ends_at[name]))
            self._reused = os.open(os.devnull, os.O_RDONLY)  # whose number was just freed
        if name in self.refuses:
            raise MonitorFailed("no room")
        if name in self.dies_over:
            self.is_open = False
            raise MonitorUnavailable("died")
        self.taken[name] = content
        return Reply({}, [])

    def post(self, request: Request) -> None:
        self.posted.append(request)


class Rig:
    """Three live containers whose monitor died."""

    def __init__(self, directory: Path) -> None:
        self.holdings = Holdings()
        self.ended: list[str] = []
        self.handover = Handover(self.holdings, Execs(), lambda record, _: self.ended.append(record.id))
        self.link = Link(Path("/nowhere"), 30.0, self._house, lambda _: None, lambda: None, self._nothing)
        self.successor = Successor(self.holdings)
        for name in NAMES:
            (directory / name).write_text(name)
            self.keep(directory / name)
        self.handover.monitor_lost()

    async def _house(self, _: int) -> None: ...

    async def _nothing(self, _: Connection) -> None: ...

    def keep(self, output: Path) -> None:
        record = RECORD._replace(id=output.name, state="running")
        descriptors = [os.pidfd_open(os.getpid()), os.open(output, os.O_RDONLY)]
        self.holdings.keep(record, ["pidfd", "stdout"], descriptors)

    def keep_child(self, script: str) -> None:
        """As ``d``."""
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], {})
        descriptors = [os.pidfd_open(pid), os.open(os.devnull, os.O_RDONLY)]
        record = RECORD._replace(id="d", pid=pid, state="running")
        self.holdings.keep(record, ["pidfd", "stdout"], descriptors)

    def find(self, name: str) -> Held:
        held = self.holdings.find(ContainerId(name))
        assert held is not None
        return held

    def stages(self) -> dict[str, str]:
        found = {name: self.holdings.find(ContainerId(name)) for name in NAMES}
        return {name: held.stage for name, held in found.items() if held is not None}

    async def hand_over(self) -> None:
        await self.handover.to(self.link, cast(Connection, self.successor))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.handover.stop()
    made.holdings.close()


async def test_all_are_taken_over_with_what_is_theirs(rig: Rig) -> None:
    assert set(rig.stages().values()) == {Stage.WAITING}
    await rig.hand_over()
    assert rig.successor.taken == {"a": "a", "b": "b", "c": "c"}
    assert set(rig.stages().values()) == {Stage.HELD}


async def test_one_that_ends_meanwhile_is_left_out_and_costs_the_others_nothing(rig: Rig) -> None:
    rig.successor.ends_at = {"a": "b"}
    gone = rig.find("b")
    await rig.hand_over()
    assert rig.successor.taken == {"a": "a", "c": "c"}
    with pytest.raises(DescriptorClosed):
        rig.holdings.to_hand_over(gone)
    os.close(rig.successor._reused)


async def test_one_that_is_refused_is_tried_again_behind(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("oci.monitor.handover._AGAIN_S", (0.001,))
    rig.successor.refuses = {"a"}
    await rig.hand_over()
    assert rig.successor.taken == {"b": "b", "c": "c"}
    assert rig.stages() == {"a": Stage.REFUSED, "b": Stage.HELD, "c": Stage.HELD}
    assert "container not taken over container=a error=no room" in caplog.text
    rig.successor.refuses = set()
    async with asyncio.timeout(30):
        while rig.stages()["a"] is not Stage.HELD:
            await asyncio.sleep(0.001)
    assert rig.successor.taken["a"] == "a"


async def test_one_over_which_monitors_die_comes_after_all_others(rig: Rig) -> None:
    rig.successor.dies_over = {"b"}
    for _ in range(2):
        with pytest.raises(MonitorUnavailable):
            await rig.hand_over()
    await rig.hand_over()
    assert rig.stages() == {"a": Stage.HELD, "b": Stage.REFUSED, "c": Stage.HELD}


async def test_an_exit_that_this_process_saw_is_told_to_every_monitor_that_follows(rig: Rig) -> None:
    rig.keep_child("exit 7")
    for _ in range(2):
        rig.handover.monitor_lost()
        await rig.hand_over()
        rig.successor.posted.clear()
        async with asyncio.timeout(30):
            while not rig.successor.posted:
                await asyncio.sleep(0.001)
        assert rig.successor.posted == [protocol.Reaped("d", 7)]


async def test_the_end_of_one_that_no_monitor_has_is_told_all_the_same(rig: Rig) -> None:
    rig.keep_child("exit 7")
    rig.successor.refuses = {"d"}
    await rig.hand_over()
    async with asyncio.timeout(30):
        while not rig.ended:
            await asyncio.sleep(0.001)
    assert rig.ended == ["d"]
