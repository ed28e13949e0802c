"""A monitor is replaced by another release of itself under containers and execs, and nobody notices."""

import asyncio
import os
import signal
import tarfile
from pathlib import Path

import pytest

from cri.cli.monitor import upgrade
from host.spawn import become_subreaper
from oci.monitor import launch, release
from oci.monitor.client import Monitor
from oci.monitor.exec_sync import exec_sync
from oci.monitor.types import MonitorFailed
from tests.harness.processes import command_line, with_words
from tests.harness.until import until
from tests.integration.oci.conftest import Workshop, end, keepers, monitor_pid, process
from tests.integration.oci.test_keeper import codes_of, numbers

pytestmark = pytest.mark.root
LINES = 150_000
PREDECESSOR = Path(__file__).parents[2] / "fixtures/monitor-protocol-2.tar.xz"


async def is_upgraded(workshop: Workshop) -> bool:
    return "--resume=" in command_line(await monitor_pid(workshop.directory))


async def test_nothing_is_lost_by_an_upgrade_under_writers_and_execs(workshop: Workshop) -> None:
    ids = [await workshop.run("/bin/seq", str(LINES)) for _ in range(3)]
    short = await workshop.run("/bin/sh", "-c", "read x; echo bye; exit 42", stdin=True, stdin_once=True)
    pid = await monitor_pid(workshop.directory)
    over = asyncio.Event()

    async def execs() -> list[tuple[int | None, bytes]]:
        found: list[tuple[int | None, bytes]] = []
        while not over.is_set():
            rest = "sleep 0.1; exit 7" if len(found) % 2 else "exit 7"  # or gone before it is known
            what = process("/bin/sh", "-c", f"echo begun; {rest}")
            done = await exec_sync(workshop.monitor, short, workshop.runtime, what)
            found.append((done.exit_code, done.stdout))
        return found

    loops = [asyncio.create_task(execs()) for _ in range(4)]
    for _ in range(6):
        await workshop.monitor.upgrade()
        await asyncio.sleep(0.2)
    over.set()
    results = [one for loop in loops for one in await loop]
    assert set(results) == {(7, b"begun\n")}
    assert await is_upgraded(workshop)
    assert await monitor_pid(workshop.directory) == pid
    async with await workshop.monitor.attach(short, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        codes = await codes_of(workshop, [*ids, short])
    assert codes == {short: 42} | dict.fromkeys(ids, 0)
    for container_id in ids:
        assert workshop.log_text(container_id) == numbers(LINES)
    assert workshop.log_text(short) == b"bye\n"


async def test_an_exec_keeps_its_deadline_and_can_be_killed_after_an_upgrade(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sleep", "5455")
    timed = asyncio.create_task(
        exec_sync(workshop.monitor, container_id, workshop.runtime, what, timeout_s=2)
    )
    handle = await workshop.monitor.exec(container_id, workshop.runtime, process("/bin/sleep", "5456"))
    await until(lambda: with_words("/bin/sleep", "5455"))
    await workshop.monitor.upgrade()
    assert (await timed).timed_out
    await handle.kill()
    assert (await handle.wait()).exit_code == 137


async def test_both_die_after_an_upgrade(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; echo said $x; exit 5", stdin=True)
    pid = await monitor_pid(workshop.directory)
    [keeper] = keepers(pid)
    await workshop.monitor.upgrade()
    assert keepers(pid) == [keeper]
    end(pid)
    await until(lambda: not workshop.monitor._link._connected.is_set())
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"it\n")
        assert (await workshop.exit_of(container_id)).exit_code == 5
    assert workshop.log_text(container_id) == b"said it\n"


async def test_a_daemon_of_another_release_has_the_monitor_replaced(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    pid = await monitor_pid(workshop.directory)
    await workshop.monitor.close()
    workshop.monitor = await Monitor.connect(workshop.directory)
    assert not await is_upgraded(workshop)  # it is ours already
    await workshop.monitor.close()
    monkeypatch.setattr(release, "identity", lambda: "another")
    workshop.monitor = await Monitor.connect(workshop.directory)
    assert await is_upgraded(workshop)
    assert await monitor_pid(workshop.directory) == pid
    assert [record.id for record in await workshop.monitor.list()] == [container_id]


async def test_an_upgrade_to_what_cannot_be_executed_changes_nothing(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; exit 5", stdin=True)
    monkeypatch.setattr(launch, "command", lambda directory: ["/nowhere/python", str(directory)])
    with pytest.raises(MonitorFailed, match="/nowhere/python cannot be executed"):
        await workshop.monitor.upgrade()
    assert not await is_upgraded(workshop)
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    assert (await workshop.exit_of(container_id)).exit_code == 137


async def test_an_upgrade_that_dies_at_once_costs_no_container(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; echo said $x; exit 5", stdin=True)
    with monkeypatch.context() as broken:
        broken.setattr(launch, "command", lambda directory: ["/bin/false", str(directory)])
        asking = asyncio.create_task(workshop.monitor.upgrade())
        await until(lambda: not workshop.monitor._link._connected.is_set())
    await asyncio.gather(asking, return_exceptions=True)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"it\n")
        assert (await workshop.exit_of(container_id)).exit_code == 5
    assert workshop.log_text(container_id) == b"said it\n"


@pytest.fixture
async def dated(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """The workshop with a monitor of before there were upgrades and keepers (commit 8957e50, protocol 2)."""
    with tarfile.open(PREDECESSOR) as archive:
        archive.extractall(tmp_path / "old")
    await workshop.monitor.shutdown()
    with monkeypatch.context() as before:
        before.setattr(launch, "_ROOT", tmp_path / "old")
        before.setattr(Monitor, "_succeed_dated", _nothing)
        workshop.monitor = await Monitor.connect(workshop.directory)
    return workshop


async def _nothing(_: Monitor) -> None: ...


async def test_a_node_goes_on_from_the_previous_protocols_monitor_without_a_drain(dated: Workshop) -> None:
    ids = [await dated.run("/bin/seq", str(LINES)) for _ in range(3)]
    short = await dated.run("/bin/sh", "-c", "read x; echo said $x; exit 42", stdin=True)
    created = await dated.create("/bin/sh", "-c", "exit 4")
    pid = await monitor_pid(dated.directory)
    assert keepers(pid) == []
    await dated.monitor.close()
    become_subreaper(yes=False)  # as when that daemon has ended
    dated.monitor = await Monitor.connect(dated.directory)
    assert await monitor_pid(dated.directory) != pid
    await dated.monitor.start(created, dated.runtime)
    async with await dated.monitor.attach(short, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"it\n")
        codes = await codes_of(dated, [*ids, short, created])
    assert codes == {short: 42, created: 4} | dict.fromkeys(ids, 0)
    for container_id in ids:
        assert dated.log_text(container_id) == numbers(LINES)
    assert dated.log_text(short) == b"said it\n"


async def test_the_command_line_upgrades_it_beside_a_daemon(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    pid = await monitor_pid(workshop.directory)
    assert (await upgrade(workshop.directory))["pid"] == pid
    assert await is_upgraded(workshop)
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    assert (await workshop.exit_of(container_id)).exit_code == 137


async def test_an_attachment_ends_with_an_upgrade_and_costs_others_nothing(workshop: Workshop) -> None:
    once = await workshop.run("/bin/sh", "-c", "cat; exit 6", stdin=True, stdin_once=True)
    before = await workshop.monitor.attach(once, stdin=True)
    await workshop.monitor.upgrade()
    reading, writing = os.pipe()
    after = await workshop.monitor.attach(once, stdout=writing)
    os.close(writing)
    assert before.stdin is not None
    os.write(before.stdin, b"words")
    await before.close()  # whose stdin it was: that ends
    assert (await workshop.exit_of(once)).exit_code == 6
    await asyncio.to_thread(_assert_reads, reading, b"words")
    await after.close()


def _assert_reads(descriptor: int, wanted: bytes) -> None:
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == wanted
