"""oci/monitor/client: a monitor that does not start or answer; what it says in one breath."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.ids import ContainerId
from host.fds import receive_message, send_message
from oci.cli import CliRuntime, Kind
from oci.monitor import protocol, release
from oci.monitor.client import Monitor
from oci.monitor.types import CreateContainer, MonitorUnavailable
from tests.harness.patience import patient
from tests.unit.oci.monitor.test_protocol import RECORD


async def test_a_monitor_that_does_not_start_in_time_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(MonitorUnavailable, match=r"did not start within 1e-06 s"):
        await Monitor.connect(tmp_path, timeout_s=1e-6)


async def test_a_silent_monitor_is_given_up_after_its_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "monitor.sock"))
        listener.listen()
        with pytest.raises(MonitorUnavailable, match=r"has not answered Hello within 0\.01 s"):
            await Monitor.connect(tmp_path, timeout_s=0.01)


Answer = Callable[[socket.socket, int], None]
LIVE = RECORD._replace(state="created")
ENDED = protocol.encode_event("exited", {"record": RECORD._asdict()})


@contextlib.contextmanager
def scripted_monitor(directory: Path, answers: dict[str, Answer]) -> Iterator[None]:
    """A monitor that greets, and answers as it is told; empty answers to anything else."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(directory / "monitor.sock"))
    listener.listen()

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            while data := receive_message(peer, protocol.MESSAGE_LIMIT)[0]:
                message = protocol.decode(data)
                rid = protocol.request_id(message)
                answers.get(str(message["op"]), _nothing)(peer, rid)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()
    listener.close()


def _nothing(peer: socket.socket, rid: int) -> None:
    is_ours = {"release": release.identity(), "abilities": list(release.ABILITIES)}
    result = {"version": protocol.VERSION, "pid": os.getpid(), "records": [], **is_ours}
    send_message(peer, protocol.encode_reply(rid, result))


class Container:
    """Its standard output: one end is ours, the other comes with answers about it."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._pidfd = os.pidfd_open(os.getpid())

    def give(self, peer: socket.socket, rid: int, **result: object) -> None:
        reply = protocol.encode_reply(rid, {"streams": ["pidfd", "stdout"], **result})
        send_message(peer, reply, [self._pidfd, self._reading])
        os.close(self._reading)
        os.close(self._pidfd)

    def give_and_end(self, peer: socket.socket, rid: int, **result: object) -> None:
        """The end is told in the same breath."""
        self.give(peer, rid, **result)
        send_message(peer, ENDED)

    def is_read_by_nobody(self) -> bool:
        try:
            os.write(self._writing, b"x")
        except BrokenPipeError:
            os.close(self._writing)
            return True
        return False


async def test_a_container_that_ends_as_its_creation_is_answered_is_not_held(tmp_path: Path) -> None:
    container = Container()

    def created(peer: socket.socket, rid: int) -> None:
        result = {"status": 0, "log": "", "stderr": "", "record": LIVE._asdict()}
        container.give_and_end(peer, rid, **result)

    with scripted_monitor(tmp_path, {"create": created}):
        monitor = await Monitor.connect(tmp_path)
        runtime = CliRuntime("crun", Path("/bin/true"), tmp_path, Kind.CRUN)
        await monitor.create(CreateContainer(ContainerId(LIVE.id), runtime, tmp_path))
        assert (await anext(monitor.exits())).id == LIVE.id
        assert container.is_read_by_nobody()
        await monitor.close()


async def test_a_container_that_ends_as_a_new_daemon_takes_it_is_not_held(tmp_path: Path) -> None:
    container = Container()
    parts = [[LIVE._asdict()], []]

    def listed(peer: socket.socket, rid: int) -> None:
        send_message(peer, protocol.encode_reply(rid, {"records": parts.pop(0)}))

    with scripted_monitor(tmp_path, {"list": listed, "handles": container.give_and_end}):
        monitor = await Monitor.connect(tmp_path)
        assert (await anext(monitor.exits())).id == LIVE.id
        assert container.is_read_by_nobody()
        await monitor.close()


async def test_nothing_is_held_of_what_the_monitor_has_forgotten(tmp_path: Path) -> None:
    container = Container()
    parts = [[LIVE._asdict()], []]

    def listed(peer: socket.socket, rid: int) -> None:
        send_message(peer, protocol.encode_reply(rid, {"records": parts.pop(0)}))

    with scripted_monitor(tmp_path, {"list": listed, "handles": container.give}):
        monitor = await Monitor.connect(tmp_path)
        assert not container.is_read_by_nobody()
        await monitor.forget(ContainerId(LIVE.id))
        assert container.is_read_by_nobody()
        await monitor.close()


async def test_an_exec_whose_monitor_dies_as_it_is_answered_ends_all_the_same(tmp_path: Path) -> None:
    process = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setpgroup=0)  # noqa: ASYNC221 - at once

    def started(peer: socket.socket, rid: int) -> None:
        pidfd = os.pidfd_open(process)
        result = {"status": 0, "log": "", "stderr": "", "pid": process}
        send_message(peer, protocol.encode_reply(rid, result), [pidfd])
        os.close(pidfd)
        peer.shutdown(socket.SHUT_RDWR)

    with scripted_monitor(tmp_path, {"exec": started}):
        (tmp_path / "scratch").mkdir()
        monitor = await Monitor.connect(tmp_path)
        runtime = CliRuntime("crun", Path("/bin/true"), tmp_path, Kind.CRUN)
        handle = await monitor.exec(ContainerId("c"), runtime, {})
        os.kill(process, signal.SIGKILL)
        assert (await asyncio.wait_for(handle.wait(), patient(60))).exit_code == 137
        handle.close()
        await monitor.close()
