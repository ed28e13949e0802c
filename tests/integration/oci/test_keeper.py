"""Daemon and monitor die at once, and the keeper has what only they had: no line and no exit code is lost."""

import asyncio
import os
import signal

import pytest

from host.spawn import become_subreaper
from oci.monitor.client import Monitor
from oci.monitor.exec_sync import exec_sync
from tests.harness.processes import descriptor_count, descriptors, has_ended
from tests.harness.until import until
from tests.integration.oci.conftest import Workshop, end, keepers, monitor_pid, process

pytestmark = pytest.mark.root
LINES = 150_000


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


async def keeper_of(workshop: Workshop) -> int:
    monitor = await monitor_pid(workshop.directory)
    await until(lambda: keepers(monitor), "there is a keeper")
    [keeper] = keepers(monitor)
    return keeper


def pidfds(pid: int) -> int:
    return list(descriptors(pid).values()).count("anon_inode:[pidfd]")


async def both_die(workshop: Workshop) -> int:
    """All that a daemon's death does is done to this process; the old monitor's pid."""
    pid = await monitor_pid(workshop.directory)
    await workshop.monitor.close()
    become_subreaper(yes=False)  # orphans go to pid 1, as when a daemon has gone
    end(pid)
    os.waitpid(pid, 0)  # noqa: ASYNC222 - after SIGKILL a matter of microseconds
    return pid


async def come_back(workshop: Workshop) -> None:
    workshop.monitor = await Monitor.connect(workshop.directory)


async def codes_of(workshop: Workshop, ids: list[str]) -> dict[str, int | None]:
    async with asyncio.timeout(60):
        while True:
            records = {record.id: record for record in await workshop.monitor.list()}
            if all(records[one].state == "exited" for one in ids):
                return {one: records[one].exit_code for one in ids}
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("delay_ms", [0, 5, 20, 60])
async def test_both_die_while_containers_print(workshop: Workshop, delay_ms: int) -> None:
    ids = [await workshop.run("/bin/seq", str(LINES)) for _ in range(3)]
    short = await workshop.run("/bin/sh", "-c", "read x; echo bye; exit 42", stdin=True, stdin_once=True)
    await until(lambda: (workshop.logs / f"{ids[0]}.log").stat().st_size > 1000)
    await asyncio.sleep(delay_ms / 1000)
    before = await both_die(workshop)
    await come_back(workshop)
    assert await monitor_pid(workshop.directory) != before
    async with await workshop.monitor.attach(short, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        codes = await codes_of(workshop, [*ids, short])
    assert codes == {short: 42} | dict.fromkeys(ids, 0)
    for container_id in ids:
        assert workshop.log_text(container_id) == numbers(LINES)
    assert workshop.log_text(short) == b"bye\n"


async def test_a_container_that_ended_while_neither_lived_has_its_code_and_last_words(
    workshop: Workshop,
) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; echo last; exit 23", stdin=True)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        stdin = attachment.take_stdin()
    assert stdin is not None
    [record] = await workshop.monitor.list()
    await both_die(workshop)
    os.write(stdin, b"go\n")
    os.close(stdin)
    await until(lambda: has_ended(record.pid))
    await come_back(workshop)
    assert await codes_of(workshop, [container_id]) == {container_id: 23}
    assert workshop.log_text(container_id) == b"last\n"


async def test_a_terminal_and_a_created_container_live_on(workshop: Workshop) -> None:
    terminal = await workshop.run("/bin/sh", "-c", "read x; echo said $x; exit 3", terminal=True, stdin=True)
    created = await workshop.create("/bin/sh", "-c", "exit 4")
    await both_die(workshop)
    await come_back(workshop)
    states = {record.id: record.state for record in await workshop.monitor.list()}
    assert states == {terminal: "running", created: "created"}
    await workshop.monitor.start(created, workshop.runtime)
    async with await workshop.monitor.attach(terminal, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"it\n")
        assert await codes_of(workshop, [terminal, created]) == {terminal: 3, created: 4}
    assert b"said it" in workshop.log_text(terminal)


async def test_a_dead_keeper_is_replaced_without_loss(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "read x; echo said $x; exit 5", stdin=True)
    keeper = await keeper_of(workshop)
    end(keeper)
    monitor = await monitor_pid(workshop.directory)
    await until(lambda: set(keepers(monitor)) - {keeper})
    await both_die(workshop)
    await come_back(workshop)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"it\n")
        assert await codes_of(workshop, [container_id]) == {container_id: 5}
    assert workshop.log_text(container_id) == b"said it\n"


async def test_an_exec_whose_daemon_and_monitor_died_is_ended_by_the_next(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    handle = await workshop.monitor.exec(container_id, workshop.runtime, process("/bin/sleep", "5444"))
    pid = handle.pid
    handle.close()
    await both_die(workshop)
    assert not has_ended(pid)
    await come_back(workshop)
    await until(lambda: has_ended(pid))
    done = await exec_sync(workshop.monitor, container_id, workshop.runtime, process("/bin/echo", "works"))
    assert done.stdout == b"works\n"


async def test_a_stdin_that_was_closed_stays_closed(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sh", "-c", "cat; exit 6", stdin=True)
    await workshop.monitor.close_stdin(container_id)
    assert await codes_of(workshop, [container_id]) == {container_id: 6}


async def test_what_has_ended_is_released(workshop: Workshop) -> None:
    living = await workshop.run("/bin/sleep", "600")
    keeper = await keeper_of(workshop)
    await until(lambda: pidfds(keeper) == 1, "it holds the container that lives")
    before = descriptor_count(keeper)
    for _ in range(3):
        ended = await workshop.run("/bin/true")
        await workshop.exit_of(ended)
        await exec_sync(workshop.monitor, living, workshop.runtime, process("/bin/true"))
    await until(lambda: descriptor_count(keeper) == before)


async def test_the_keeper_goes_with_the_last_monitor(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    keeper = await keeper_of(workshop)
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    await workshop.exit_of(container_id)
    end(await monitor_pid(workshop.directory))
    await until(lambda: has_ended(keeper))
