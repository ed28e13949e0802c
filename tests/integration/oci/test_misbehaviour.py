"""Runtimes that hang, lie or say nothing, and a daemon that talks nonsense: the monitor stays whole."""

import asyncio
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from api.ids import new_container_id
from host.fds import receive_message, send_message
from oci.cli import CliRuntime, Kind
from oci.monitor.exec_sync import exec_sync
from oci.monitor.protocol import MESSAGE_LIMIT
from oci.monitor.types import CreateContainer, MonitorFailed, NotLive
from oci.runtime import RuntimeFailed, RuntimeTimedOut
from tests.harness.patience import patient
from tests.integration.oci.conftest import Workshop, process

pytestmark = pytest.mark.root


@pytest.fixture
def runtime(tmp_path: Path) -> CliRuntime:
    """One runtime is enough here; the tests replace it by scripts."""
    root = tmp_path / "root"
    root.mkdir()
    return CliRuntime.find("crun", "", root)


def script(workshop: Workshop, text: str) -> CliRuntime:
    path = workshop.directory / "runtime"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return CliRuntime("script", path, workshop.directory, Kind.RUNC)


def container(
    workshop: Workshop, text: str, timeout_s: float = 20, terminal: bool = False
) -> CreateContainer:
    return CreateContainer(
        new_container_id(), script(workshop, text), workshop.directory, timeout_s=timeout_s, terminal=terminal
    )


async def test_a_create_without_end_is_killed_with_its_group(workshop: Workshop) -> None:
    with pytest.raises(RuntimeTimedOut, match=r"no end within 0\.3 s"):
        await workshop.monitor.create(container(workshop, "sleep 600 & wait", timeout_s=0.3))
    assert await workshop.monitor.list() == []


@pytest.mark.parametrize("terminal", [False, True])
async def test_a_create_that_prints_its_error_is_quoted(workshop: Workshop, terminal: bool) -> None:
    with pytest.raises(RuntimeFailed, match="no luck today"):
        await workshop.monitor.create(
            container(workshop, "echo no luck today >&2; exit 1", terminal=terminal)
        )


FLOOD = "head -c 3000000 /dev/zero | tr '\\0' x >&2; "


@pytest.mark.parametrize("terminal", [False, True])
async def test_a_create_that_prints_more_than_a_pipe_holds_is_not_held_up(
    workshop: Workshop, terminal: bool
) -> None:
    with pytest.raises(RuntimeFailed, match="no luck after all"):
        await workshop.monitor.create(
            container(workshop, f"{FLOOD} echo no luck after all >&2; exit 1", 600, terminal)
        )


async def test_a_start_that_prints_more_than_a_pipe_holds_is_not_held_up(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    failing = script(workshop, f"{FLOOD} echo no luck after all >&2; exit 1")
    with pytest.raises(RuntimeFailed, match="no luck after all"):
        await workshop.monitor.start(container_id, failing, timeout_s=600)


async def test_what_a_runtime_prints_is_not_the_containers_output(workshop: Workshop) -> None:
    """However much it is, and though it comes by the pipe that will be the container's."""
    real = workshop.runtime
    assert isinstance(real, CliRuntime)
    talkative = replace(real, path=script(workshop, f'{FLOOD} exec {real.path} "$@"').path)
    workshop.runtime = talkative
    container_id = await workshop.create("/bin/sh", "-c", "echo mine >&2")
    workshop.runtime = real
    await workshop.monitor.start(container_id, real)
    await workshop.exit_of(container_id)
    assert workshop.log_text(container_id, "stderr") == b"mine\n"


async def test_a_create_that_leaves_no_process_is_an_error(workshop: Workshop) -> None:
    with pytest.raises(MonitorFailed, match="left no process"):
        await workshop.monitor.create(container(workshop, "exit 0"))
    lies = 'while [ "$1" != --pid-file ]; do shift; done; echo nonsense > "$2"'
    with pytest.raises(MonitorFailed, match="left no process"):
        await workshop.monitor.create(container(workshop, lies))


async def test_a_create_that_sends_no_console_is_an_error(workshop: Workshop) -> None:
    pid = 'while [ "$1" != --pid-file ]; do shift; done; echo $$ > "$2"'
    with pytest.raises(MonitorFailed, match="left no process"):
        await workshop.monitor.create(container(workshop, pid, terminal=True))


async def test_a_start_without_end_ends_with_its_container(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600")
    never = script(workshop, "sleep 600 & wait")
    starting = asyncio.create_task(workshop.monitor.start(container_id, never, timeout_s=3600))
    await asyncio.sleep(0)
    await workshop.monitor.signal(container_id, signal.SIGKILL)
    with pytest.raises(NotLive, match="has ended"):
        await asyncio.wait_for(starting, patient(60))
    assert [record.state for record in await workshop.monitor.list()] == ["exited"]


async def test_a_runtime_that_cannot_be_executed_is_named(workshop: Workshop) -> None:
    spec = container(workshop, "exit 0")
    (workshop.directory / "runtime").chmod(0o644)
    with pytest.raises(MonitorFailed, match=r"cannot start /run/.*/runtime: Permission denied"):
        await workshop.monitor.create(spec)


async def test_an_exec_that_fails_as_the_container_ends_says_so(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    [pid] = [one.pid for one in await workshop.monitor.list()]
    failing = script(workshop, f"kill -9 {pid}; sleep 0.1; echo cannot join a namespace >&2; exit 1")
    with pytest.raises(NotLive, match="has ended"):
        await exec_sync(workshop.monitor, container_id, failing, process("/bin/true"))


async def test_an_id_in_use_is_refused(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    bundle = workshop.directory / "bundles" / container_id
    with pytest.raises(MonitorFailed, match="exists already"):
        await workshop.monitor.create(CreateContainer(container_id, workshop.runtime, bundle))
    with pytest.raises(MonitorFailed, match="lives"):
        await workshop.monitor.forget(container_id)


async def test_a_hanging_exec_holds_up_nobody(workshop: Workshop) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    hanging = asyncio.create_task(
        workshop.monitor.exec(container_id, script(workshop, "sleep 600"), {}, start_timeout_s=1.0)
    )
    done = await exec_sync(workshop.monitor, container_id, workshop.runtime, process("/bin/echo", "free"))
    assert done.stdout == b"free\n"
    assert not hanging.done()
    with pytest.raises(RuntimeTimedOut):
        await hanging


@pytest.mark.parametrize(
    "data",
    [b"nonsense", b"{}", b'{"rid": 1, "op": "dance"}', b"x" * (MESSAGE_LIMIT + 1)],
    ids=["text", "empty", "unknown", "long"],
)
async def test_nonsense_from_a_daemon_harms_nobody(workshop: Workshop, data: bytes) -> None:
    container_id = await workshop.run("/bin/sleep", "600")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sock:
        sock.connect(str(workshop.directory / "monitor.sock"))
        sock.settimeout(10)
        send_message(sock, data, [sock.fileno()])
        if b"dance" in data:
            assert b"unknown operation" in (await asyncio.to_thread(receive_message, sock, 1000))[0]
        done = await exec_sync(workshop.monitor, container_id, workshop.runtime, process("/bin/echo", "well"))
    assert done.stdout == b"well\n"
