"""Execs with real runtimes: output, codes, time limits, terminals, and nothing left behind."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from api.ids import new_container_id
from oci.monitor.exec_sync import ExecOutput, exec_sync
from oci.runtime import RuntimeFailed
from tests.harness import processes
from tests.harness.patience import patient
from tests.integration.oci.conftest import Json, Workshop, monitor_pid, process

pytestmark = pytest.mark.root


async def run(workshop: Workshop, container_id: str, what: Json, **options: float) -> ExecOutput:
    return await exec_sync(workshop.monitor, container_id, workshop.runtime, what, **options)  # type: ignore[arg-type]


async def test_output_and_code_come_back(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    done = await run(workshop, container_id, process("/bin/sh", "-c", "echo out; echo err >&2; exit 3"))
    assert (done.exit_code, done.stdout, done.stderr, done.timed_out) == (3, b"out\n", b"err\n", False)
    done = await run(workshop, container_id, process("/bin/sh", "-c", "kill -9 $$"))
    assert done.exit_code == 137


async def test_empty_profile_and_label_are_no_obstacle(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/true") | {"apparmorProfile": "", "selinuxLabel": ""}
    assert (await run(workshop, container_id, what)).exit_code == 0


async def test_a_missing_program_is_the_runtimes_error(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    with pytest.raises(RuntimeFailed, match=r"no-such.*(No such file|no such file|not found)"):
        await run(workshop, container_id, process("/bin/no-such"))


async def test_time_limit_kills_the_group(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "echo begun; sleep 500 & sleep 501")
    done = await run(workshop, container_id, what, timeout_s=patient(2))
    assert (done.exit_code, done.stdout, done.timed_out) == (137, b"begun\n", True)
    await until_running(workshop, container_id, b"501", is_so=False)
    await until_running(workshop, container_id, b"500", is_so=False)


async def test_a_dropped_exec_is_killed(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    task = asyncio.create_task(run(workshop, container_id, process("/bin/sleep", "502")))
    await until_running(workshop, container_id, b"502")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_running(workshop, container_id, b"502", is_so=False)


async def until_running(workshop: Workshop, container_id: str, word: bytes, *, is_so: bool = True) -> None:
    """A command with this word is there, or none; both take a moment after what brings them about."""
    async with asyncio.timeout(patient(60)):
        while (word in (await everything_running(workshop, container_id)).split(b"\0")) is not is_so:
            await asyncio.sleep(0.02)


async def everything_running(workshop: Workshop, container_id: str) -> bytes:
    return (await run(workshop, container_id, process("/bin/sh", "-c", "cat /proc/[0-9]*/cmdline"))).stdout


async def test_more_than_the_limit_is_read_and_dropped(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    done = await run(
        workshop, container_id, process("/bin/head", "-c", "3000000", "/dev/zero"), output_limit=100000
    )
    assert (done.exit_code, len(done.stdout), done.truncated) == (0, 100000, True)


async def test_the_limit_is_for_both_streams_together(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    both = process("/bin/sh", "-c", "head -c 90000 /dev/zero; head -c 90000 /dev/zero >&2")
    done = await run(workshop, container_id, both, output_limit=100000)
    assert (done.exit_code, len(done.stdout), len(done.stderr)) == (0, 50000, 50000)
    assert done.truncated


async def test_stdin_reaches_the_process(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    handle = await workshop.monitor.exec(
        container_id, workshop.runtime, process("/bin/cat"), stdin=in_read, stdout=out_write
    )
    os.close(in_read)
    os.close(out_write)
    os.write(in_write, b"through")
    os.close(in_write)
    assert (await handle.wait()).exit_code == 0
    assert os.read(out_read, 100) == b"through"
    os.close(out_read)
    handle.close()


async def test_terminal_comes_as_a_console(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    what = process("/bin/sh", "-c", "tty; read x; echo got $x; exit 5", terminal=True)
    async with await workshop.monitor.exec(container_id, workshop.runtime, what) as handle:
        console = handle.take_console()
        assert console is not None
        os.write(console, b"word\n")  # echoed by the terminal before or after the first line
        assert (await handle.wait()).exit_code == 5
        text = b""
        with contextlib.suppress(OSError):  # EIO: nobody has it open any more
            while data := os.read(console, 1000):
                text += data
        os.close(console)
    assert b"/dev/pts/" in text
    assert b"got word" in text


async def test_execs_of_many_containers_at_once_leave_nothing(workshop: Workshop) -> None:
    ids = [await workshop.run("/bin/sleep", "600") for _ in range(20)]
    storm = [
        run(workshop, container_id, process("/bin/sh", "-c", f"echo {number}; exit {number % 100}"))
        for number, container_id in enumerate(ids * 5)
    ]
    done = await asyncio.gather(*storm)
    assert [one.stdout for one in done] == [b"%d\n" % number for number in range(100)]
    assert [one.exit_code for one in done] == [number % 100 for number in range(100)]
    # Processes and descriptors are counted by the fixture; here: nobody's children but the containers.
    for container_id in ids:
        words = (await everything_running(workshop, container_id)).split(b"\x00")
        assert words.count(b"600") == 1


async def test_exec_returns_when_its_process_ends_not_its_children(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    done = await run(workshop, container_id, process("/bin/sh", "-c", "sleep 503 & echo done"))
    assert done.stdout == b"done\n"
    await until_running(workshop, container_id, b"503")


@pytest.mark.parametrize("wanted", [None, 700])
async def test_an_exec_is_as_likely_to_be_killed_for_memory_as_its_container(
    workshop: Workshop, wanted: int | None
) -> None:
    def what(*args: str) -> Json:
        return process(*args) | ({} if wanted is None else {"oomScoreAdj": wanted})

    container_id = new_container_id()
    workshop.logs.mkdir()
    own = Path("/proc/self/oom_score_adj").read_text()
    await workshop.create_from(
        workshop.bundle(container_id, what("/bin/sh", "-c", "read x; cat /proc/self/oom_score_adj")),
        container_id,
        stdin=True,
    )
    await workshop.monitor.start(container_id, workshop.runtime)
    done = await run(workshop, container_id, what("/bin/cat", "/proc/self/oom_score_adj"))
    assert done.stdout == b"%d\n" % (wanted or 0)
    async with await workshop.monitor.attach(container_id, stdin=True) as attachment:
        assert attachment.stdin is not None
        os.write(attachment.stdin, b"go\n")
        await workshop.exit_of(container_id)
    assert workshop.log_text(container_id) == done.stdout
    pid = await monitor_pid(workshop.directory)
    assert processes.read(pid, "oom_score_adj") in (own, "-999\n")
