import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.processes import CommandNotStarted, CommandTimedOut, exited, run
from tests.harness.processes import descriptor_count, is_there

SH = "/bin/sh"


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = descriptor_count()
    yield
    assert descriptor_count() <= before + 3  # the event loop's own


def test_output_and_code_come_back() -> None:
    done = asyncio.run(run([SH, "-c", "echo out; echo err >&2; exit 7"], timeout_s=20))
    assert (done.returncode, done.stdout, done.stderr, done.truncated) == (7, b"out\n", b"err\n", False)


def test_input_larger_than_a_pipe_is_read_whole() -> None:
    content = os.urandom(1 << 20)
    assert asyncio.run(run(["/bin/cat"], stdin=content, timeout_s=20, output_limit=1 << 21)).stdout == content


def test_without_input_the_program_reads_nothing() -> None:
    assert asyncio.run(run(["/bin/cat"], timeout_s=20)).stdout == b""


def test_output_beyond_the_limit_is_dropped_and_told() -> None:
    done = asyncio.run(run([SH, "-c", "head -c 300000 /dev/zero"], timeout_s=20, output_limit=1000))
    assert (done.stdout, done.truncated, done.returncode) == (bytes(1000), True, 0)


def test_death_by_signal_is_negative() -> None:
    assert asyncio.run(run([SH, "-c", "kill -9 $$"], timeout_s=20)).returncode == -signal.SIGKILL


def test_the_environment_is_the_helpers_and_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "not for programs")
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    done = asyncio.run(run(["/usr/bin/env"], variables={"A": "b"}, timeout_s=20))
    assert sorted(done.stdout.split()) == [b"A=b", b"LC_ALL=C.UTF-8", b"PATH=/bin:/usr/bin"]


def test_programs_have_an_ordinary_umask_and_nobody_elses_changes() -> None:
    """Seen by other threads while programs start: a file made then is root's alone too."""
    own = os.umask(0o077)
    seen = set()
    try:

        async def scenario() -> None:
            starting = [
                asyncio.create_task(run([SH, "-c", "umask; sleep 0.05"], timeout_s=20)) for _ in range(5)
            ]
            while not all(task.done() for task in starting):
                seen.add(_umask())
                await asyncio.sleep(0)
            assert {task.result().stdout for task in starting} == {b"0022\n"}

        asyncio.run(scenario())
    finally:
        os.umask(own)
    assert seen == {0o077}


def _umask() -> int:
    return int(re.findall(r"Umask:\s*(\d+)", Path("/proc/self/status").read_text())[0], 8)


def test_signals_that_python_ignores_are_back_to_default() -> None:
    status = asyncio.run(run(["/bin/cat", "/proc/self/status"], timeout_s=20)).stdout.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_timeout_kills_the_whole_group() -> None:
    async def scenario() -> None:
        with pytest.raises(CommandTimedOut, match=r"did not end within 0\.3 s"):
            await run([SH, "-c", "sleep 600 & echo $! >&2; wait"], timeout_s=0.3)

    asyncio.run(scenario())


def test_cancelling_reaps_the_program(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def scenario() -> None:
        task = asyncio.create_task(
            run(
                [SH, "-c", f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 600"],
                timeout_s=600,
            )
        )
        while not pid_file.exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert not is_there(pid_file.read_text().strip())


def test_a_helper_that_keeps_the_output_open_does_not_delay_the_answer() -> None:
    done = asyncio.run(run([SH, "-c", "sleep 5 & echo done"], timeout_s=4))
    assert done.stdout == b"done\n"


@pytest.mark.parametrize("path", ["/nonexistent/program", "/etc/passwd"])
def test_a_program_that_cannot_start_is_named(path: str) -> None:
    with pytest.raises(CommandNotStarted, match=path):
        asyncio.run(run([path], timeout_s=20))


def test_many_at_once() -> None:
    async def scenario() -> list[bytes]:
        done = await asyncio.gather(*(run([SH, "-c", f"echo {i}"], timeout_s=60) for i in range(30)))
        return [one.stdout for one in done]

    assert asyncio.run(scenario()) == [b"%d\n" % i for i in range(30)]


async def test_who_waits_for_an_end_has_no_part_in_what_gets_its_number_next() -> None:
    """The one who gave the descriptor closes it in the moment in which the waiting is given up."""
    with subprocess.Popen(["/bin/sleep", "600"]) as child:  # noqa: ASYNC220
        others = os.pidfd_open(child.pid)  # as the keeper has one
        given = os.dup(others)
        waiting = asyncio.create_task(exited(given, None))
        await asyncio.sleep(0)
        waiting.cancel()
        os.close(given)
        await asyncio.gather(waiting, return_exceptions=True)
        reading, writing = os.pipe()
        os.dup2(reading, given)
        told = asyncio.Event()
        asyncio.get_running_loop().add_reader(given, told.set)
        child.kill()
        assert await exited(others, 60)
        for _ in range(3):
            await asyncio.sleep(0)
        assert not told.is_set()
        os.write(writing, b"x")
        async with asyncio.timeout(60):
            await told.wait()
        asyncio.get_running_loop().remove_reader(given)
        for descriptor in {given, reading, writing, others}:
            os.close(descriptor)


async def test_two_may_wait_for_the_same_descriptor() -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as child:  # noqa: ASYNC220
        pidfd = os.pidfd_open(child.pid)
        patient = asyncio.create_task(exited(pidfd, 60))
        assert not await exited(pidfd, 0.01)
        child.kill()
        assert await patient
        os.close(pidfd)
