"""Our own runtime inside the monitor: without a program, whoever is killed or stopped meanwhile, and on the
same containers as the program."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ids import ContainerId, new_container_id
from oci.monitor.exec_sync import ExecOutput, exec_sync
from oci.monitor.types import MonitorUnavailable
from oci.own_runtime import OwnRuntime
from oci.runtime import ContainerGone, Runtime, RuntimeRefused, RuntimeTimedOut
from tests.harness.patience import patient
from tests.harness.processes import descriptors, has_ended, smaps_kib, with_words
from tests.harness.until import until
from tests.integration.oci.conftest import (
    Workshop,
    beyond_writers,
    end,
    monitor_pid,
    process,
    runtime_of,
    zygotes,
)

pytestmark = pytest.mark.root
ROUNDS = 150
GLIBCS = 1 << 31 | 1 << 32  # SIGCANCEL, SIGSETXID
GROWTH_KIB = 512  # what an allocator may have more at hand


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    root = tmp_path / "root"
    yield runtime_of("inside", root)
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == []


class Hooked:
    """A bundle whose hook of one point waits until it is let go: whoever runs it is held up at that step."""

    def __init__(self, workshop: Workshop, point: str) -> None:
        self.id = new_container_id()
        self._path = workshop.directory / f"hook-{point}"
        text = f"#!/bin/sh\ntouch {self._path}.begun\nwhile [ ! -e {self._path}.go ]; do sleep 0.02; done\n"
        self._path.write_text(text)
        self._path.chmod(0o755)
        self.bundle = workshop.bundle(self.id, process("/bin/sleep", "600"))
        spec = json.loads((self.bundle / "config.json").read_text())
        spec["hooks"] = {point: [{"path": str(self._path)}]}
        (self.bundle / "config.json").write_text(json.dumps(spec))
        workshop.logs.mkdir(exist_ok=True)

    async def begun(self) -> None:
        await until(Path(f"{self._path}.begun").exists)

    def let_go(self) -> None:
        Path(f"{self._path}.go").touch()


def program(workshop: Workshop, *words: str) -> str:
    assert isinstance(workshop.runtime, OwnRuntime)
    line = [str(workshop.runtime.path), f"--root={workshop.runtime.program.root}", *words]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


async def zygote(workshop: Workshop) -> int:
    """The monitor's, once there is one."""
    pid = await monitor_pid(workshop.directory)
    await until(lambda: bool(zygotes(pid)), "the monitor has a zygote")
    return zygotes(pid)[0]


async def ran_in(workshop: Workshop, container_id: ContainerId, *words: str) -> ExecOutput:
    what = process(*words)
    return await exec_sync(workshop.monitor, container_id, workshop.runtime, what, timeout_s=patient(60))


async def state_of(workshop: Workshop, container_id: ContainerId) -> str:
    return next(one.state for one in await workshop.monitor.list() if one.id == container_id)


# --- the same containers for program and monitor ---


async def test_the_program_acts_on_what_the_monitor_has_made(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    assert json.loads(program(workshop, "state", container_id))["status"] == "created"
    await workshop.monitor.start(container_id, workshop.runtime)
    assert json.loads(program(workshop, "state", container_id))["status"] == "running"
    assert [one["id"] for one in json.loads(program(workshop, "list", "--format=json"))] == [container_id]
    assert program(workshop, "exec", container_id, "/bin/echo", "in") == "in\n"
    program(workshop, "delete", "--force", container_id)
    assert (await workshop.exit_of(container_id)).exit_code == 137
    assert await workshop.runtime.state(container_id) is None


async def test_the_monitor_tells_of_a_start_by_the_program(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    program(workshop, "start", container_id)
    state = await workshop.runtime.state(container_id)
    assert state is not None
    assert (state["status"], state["started"]) == ("running", True)
    ran = await ran_in(workshop, container_id, "/bin/echo", "in")
    assert ran.stdout == b"in\n"
    await workshop.runtime.kill(container_id, signal.SIGKILL)
    assert (await workshop.exit_of(container_id)).exit_code == 137
    with pytest.raises(ContainerGone):
        await workshop.runtime.kill(container_id, signal.SIGKILL)
    await workshop.runtime.delete(container_id)
    assert await workshop.runtime.state(container_id) is None


async def test_a_start_whose_author_was_killed_before_the_byte_can_be_repeated(workshop: Workshop) -> None:
    """Between the renaming of the FIFO and the byte."""
    assert isinstance(workshop.runtime, OwnRuntime)
    container_id = await workshop.create("/bin/sleep", "600")
    place = workshop.runtime.program.root / container_id
    (place / "exec.fifo").rename(place / "exec.begun")
    assert json.loads(program(workshop, "state", container_id))["status"] == "created"
    await workshop.monitor.start(container_id, workshop.runtime)
    assert json.loads(program(workshop, "state", container_id))["status"] == "running"


async def test_hooks_of_a_deletion_are_run(workshop: Workshop) -> None:
    hooked = Hooked(workshop, "poststop")
    hooked.let_go()
    await workshop.create_from(hooked.bundle, hooked.id)
    await workshop.runtime.delete(hooked.id, force=True)
    await hooked.begun()


# --- failures ---


async def test_a_failure_names_step_path_and_reason(workshop: Workshop) -> None:
    container_id = new_container_id()
    bundle = workshop.bundle(container_id, process("/bin/no-such-program"))
    workshop.logs.mkdir(exist_ok=True)
    with pytest.raises(RuntimeRefused, match="/bin/no-such-program: no such file or directory"):
        await workshop.create_from(bundle, container_id)
    running = await workshop.run("/bin/sleep", "600")
    with pytest.raises(RuntimeRefused, match="/bin/no-such-program: no such file or directory"):
        await workshop.monitor.exec(running, workshop.runtime, process("/bin/no-such-program"))


async def test_the_program_has_the_signals_that_it_expects(workshop: Workshop) -> None:
    """What Python, monitor and zygote ignore is not ignored in a container (signal(7), execve(2))."""
    container_id = await workshop.run("/bin/sh", "-c", "cat /proc/self/status; sleep 600")
    ran = await ran_in(workshop, container_id, "/bin/cat", "/proc/self/status")
    await until(lambda: ignored(workshop.log_text(container_id)) != [])
    for text in (ran.stdout, workshop.log_text(container_id)):
        assert ignored(text) == [0, 0]


def ignored(status: bytes) -> list[int]:
    """Blocked and ignored signals, but for two that glibc keeps to itself and posix_spawn ignores."""
    lines = [line for line in status.splitlines() if line.startswith((b"SigBlk", b"SigIgn"))]
    return [int(line.split()[1], 16) & ~GLIBCS for line in lines]


# --- who is killed or stopped ---


async def test_a_zygote_that_was_killed_is_replaced(workshop: Workshop) -> None:
    running = await workshop.run("/bin/sleep", "600")
    for _ in range(3):
        end(await zygote(workshop))
        ran = await ran_in(workshop, running, "/bin/echo", "in")
        assert ran.stdout == b"in\n"


async def test_a_task_that_a_stopped_zygote_had_is_given_to_another(workshop: Workshop) -> None:
    running = await workshop.run("/bin/sleep", "600")
    stopped = await zygote(workshop)
    os.kill(stopped, signal.SIGSTOP)
    doing = [asyncio.create_task(ran_in(workshop, running, "/bin/echo", "in")) for _ in range(5)]
    await asyncio.sleep(0)
    end(stopped)
    assert [ran.stdout for ran in await asyncio.gather(*doing)] == [b"in\n"] * 5


async def test_a_task_that_is_given_up_is_not_begun_later(workshop: Workshop) -> None:
    running = await workshop.run("/bin/sleep", "600")
    stopped = await zygote(workshop)
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(RuntimeTimedOut):
        await workshop.monitor.exec(
            running, workshop.runtime, process("/bin/sleep", "4711"), start_timeout_s=0.2
        )
    os.kill(stopped, signal.SIGCONT)
    ran = await ran_in(workshop, running, "/bin/echo", "in")
    assert ran.stdout == b"in\n"  # the zygote serves in order: what was before is over
    assert with_words("sleep", "4711") == []


async def test_a_worker_goes_on_without_its_zygote(workshop: Workshop) -> None:
    hooked = Hooked(workshop, "createRuntime")
    creating = asyncio.create_task(workshop.create_from(hooked.bundle, hooked.id))
    await hooked.begun()
    end(await zygote(workshop))
    hooked.let_go()
    await creating
    assert await state_of(workshop, hooked.id) == "created"


async def test_nothing_of_a_create_runs_on_when_its_monitor_has_died(workshop: Workshop) -> None:
    hooked = Hooked(workshop, "createRuntime")
    creating = asyncio.create_task(workshop.create_from(hooked.bundle, hooked.id))
    await hooked.begun()
    first = await monitor_pid(workshop.directory)
    warm = await zygote(workshop)
    end(first)
    with pytest.raises(MonitorUnavailable):
        await creating
    await until(lambda: has_ended(warm))
    hooked.let_go()
    await until(lambda: with_words(hooked.id) == [])
    await workshop.runtime.delete(hooked.id, force=True)
    assert await workshop.monitor.list() == []


async def test_a_start_is_answered_by_what_became_of_it(workshop: Workshop) -> None:
    hooked = Hooked(workshop, "poststart")
    await workshop.create_from(hooked.bundle, hooked.id)
    starting = asyncio.create_task(workshop.monitor.start(hooked.id, workshop.runtime, 60))
    await hooked.begun()
    end(await monitor_pid(workshop.directory))
    hooked.let_go()
    await starting
    assert await state_of(workshop, hooked.id) == "running"


async def test_an_upgrade_keeps_containers_and_brings_another_zygote(workshop: Workshop) -> None:
    running = await workshop.run("/bin/sleep", "600")
    before = await zygote(workshop)
    await workshop.monitor.upgrade()
    await until(lambda: has_ended(before))
    ran = await ran_in(workshop, running, "/bin/echo", "in")
    assert ran.stdout == b"in\n"
    assert await zygote(workshop) != before


# --- what is not left behind ---


async def test_many_at_once_are_all_made(workshop: Workshop) -> None:
    ids = await asyncio.gather(*(workshop.create("/bin/sleep", "600") for _ in range(12)))
    await asyncio.gather(*(workshop.monitor.start(one, workshop.runtime) for one in ids))
    assert {record.state for record in await workshop.monitor.list()} == {"running"}


async def test_nothing_is_left_of_many_creates_and_execs(workshop: Workshop) -> None:
    """Counted after a few, and after many more."""
    running = await workshop.run("/bin/sleep", "600")
    pid = await monitor_pid(workshop.directory)

    async def some(rounds: int) -> tuple[object, int, list[int]]:
        for _ in range(rounds):
            ran = await ran_in(workshop, running, "/bin/true")
            assert ran.exit_code == 0
        for _ in range(rounds // 5):
            one = await workshop.run("/bin/true")
            await workshop.exit_of(one)
            await workshop.runtime.delete(one)
            await workshop.monitor.forget(one)
            workshop.ids.remove(one)
        warm = await zygote(workshop)
        sizes = [smaps_kib(one, "Rss") or 0 for one in (warm, pid)]
        return beyond_writers(pid), len(descriptors(warm)), sizes

    first = await some(20)
    before = await zygote(workshop)
    last = await some(ROUNDS)
    assert await zygote(workshop) == before
    assert last[:2] == first[:2]
    assert all(after <= then + GROWTH_KIB for after, then in zip(last[2], first[2], strict=True))
