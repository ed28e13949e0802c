"""The streaming process beside a real daemon: one there is, it is replaced, and it goes with its daemon."""

import os
import signal

from tests.harness.client import eventually
from tests.harness.daemon import Daemon, Settings
from tests.harness.processes import mentioning


def streaming(daemon: Daemon) -> list[int]:
    """Streaming processes of this daemon's state directory, whoever started them."""
    return mentioning("cri.streaming.process", str(daemon.runroot))


def one(daemon: Daemon, before: int | None = None) -> int:
    """The process, once there is one alone, and another than that of ``before``."""
    [pid] = eventually(
        lambda: streaming(daemon),
        lambda found: len(found) == 1 and found != [before],
        "there is one process",
    )
    return pid


def test_there_is_one_and_it_goes_with_its_daemon_however_that_ends() -> None:
    with Daemon(Settings(bridge="pw-stream0", subnet="10.94.0.0/24")) as daemon:
        seen = {one(daemon)}
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            daemon.stop(how)
            eventually(lambda: streaming(daemon), lambda found: not found, "none is left")
            daemon.start()
            seen.add(one(daemon))
        assert len(seen) == 4


def test_a_stopped_process_goes_with_its_killed_daemon_too() -> None:
    """One that does not get to reading that its socket has ended."""
    with Daemon(Settings(bridge="pw-stream0", subnet="10.94.0.0/24")) as daemon:
        pid = one(daemon)
        eventually(daemon.log, lambda log: f"streaming process serves pid={pid}" in log, "it serves")
        os.kill(pid, signal.SIGSTOP)
        daemon.kill()
        eventually(lambda: streaming(daemon), lambda found: not found, "none is left")


def test_a_process_that_is_killed_is_replaced_and_the_daemon_never_noticed() -> None:
    with Daemon(Settings(bridge="pw-stream0", subnet="10.94.0.0/24")) as daemon:
        streams, pid = one(daemon), daemon.pid
        for _ in range(3):
            os.kill(streams, signal.SIGKILL)
            assert not daemon.client.not_ready()
            streams = one(daemon, streams)
        assert daemon.pid == pid
        assert daemon.told("the streaming process has ended, another is started")
