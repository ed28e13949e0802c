"""Commands whose monitor died: known by pidfd or command line, waited for, killed with their group."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oci.monitor.errands import Errand, end_strays
from tests.harness.processes import command_line, has_ended
from tests.harness.until import until

Made = Callable[[str], tuple[list[str], int]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Starts a script as a runtime's command, which names a log of its own."""

    def make(text: str) -> tuple[list[str], int]:
        script = tmp_path / "runtime"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        argv = [str(script), f"--log={tmp_path}/1-1.log", "create", "c"]
        return argv, os.posix_spawn(argv[0], argv, dict(os.environ), setpgroup=0)

    return make


def errand(argv: list[str], tmp_path: Path, timeout_s: float = 60.0) -> Errand:
    return Errand(argv, f"{tmp_path}/1-1.log", timeout_s)


@pytest.mark.parametrize("is_told", [True, False])
async def test_its_end_is_waited_for_and_its_code_and_words_are_known(
    made: Made, tmp_path: Path, *, is_told: bool
) -> None:
    argv, pid = made(
        f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo words >{tmp_path}/1-1.log; exit 3"
    )
    one = errand(argv, tmp_path)
    await until(lambda: str(tmp_path) in command_line(pid))
    if is_told:
        one.begun(pid, os.pidfd_open(pid))
    ending = asyncio.create_task(one.end())
    while not one.has_begun:
        await asyncio.sleep(0.001)
    (tmp_path / "go").touch()
    assert (await ending, one.timed_out, one.words()) == (3, False, "words\n")
    one.close()


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(0.0, None), (60.0, 0.0)])
async def test_one_whose_time_is_up_is_killed_with_its_group(
    made: Made, tmp_path: Path, timeout_s: float, patience_s: float | None
) -> None:
    argv, pid = made(f"sleep 1000 & echo $! >{tmp_path}/child; wait")
    await until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().endswith("\n"))
    child = int((tmp_path / "child").read_text())
    one = errand(argv, tmp_path, timeout_s)
    one.begun(pid, os.pidfd_open(pid))
    assert (await one.end(patience_s), one.timed_out) == (137, True)
    await until(lambda: has_ended(child))
    one.close()


@pytest.fixture
def ended_container() -> Iterator[int]:
    """A pidfd of a process that has ended."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    yield pidfd
    os.close(pidfd)


@pytest.mark.parametrize("is_known", [True, False])
async def test_one_whose_container_has_ended_works_in_vain_and_is_killed(
    made: Made, tmp_path: Path, ended_container: int, *, is_known: bool
) -> None:
    argv, pid = made("exec sleep 1000")
    one = errand(argv, tmp_path)
    one.begun(pid, os.pidfd_open(pid))
    code = await one.end_for(ended_container if is_known else None)
    assert (code, one.was_in_vain, one.timed_out) == (137, True, False)
    one.close()


async def test_one_whose_container_lives_has_all_its_time(made: Made, tmp_path: Path) -> None:
    argv, pid = made(f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit 3")
    one = errand(argv, tmp_path)
    one.begun(pid, os.pidfd_open(pid))
    container = os.pidfd_open(os.getpid())
    ending = asyncio.create_task(one.end_for(container))
    await asyncio.sleep(0)
    (tmp_path / "go").touch()
    assert (await ending, one.was_in_vain, one.timed_out) == (3, False, False)
    os.close(container)
    one.close()


async def test_one_that_ended_before_its_container_was_not_in_vain(
    made: Made, tmp_path: Path, ended_container: int
) -> None:
    argv, pid = made("exit 0")
    one = errand(argv, tmp_path)
    one.begun(pid, os.pidfd_open(pid))
    await until(lambda: has_ended(pid))
    assert (await one.end_for(ended_container), one.was_in_vain) == (0, False)
    one.close()


async def test_one_that_never_began_has_no_code(tmp_path: Path) -> None:
    one = errand(["/bin/true", f"--log={tmp_path}/1-1.log"], tmp_path)
    assert (await one.end(), one.has_begun, one.timed_out, one.words()) == (None, False, False, "")


async def test_strays_are_those_that_name_scratch_files(made: Made, tmp_path: Path) -> None:
    _, pid = made("sleep 1000")
    await until(lambda: str(tmp_path) in command_line(pid))
    assert await end_strays(tmp_path / "other", 0.0) == 0
    assert await end_strays(tmp_path, 0.0) == 1
    await until(lambda: has_ended(pid))
