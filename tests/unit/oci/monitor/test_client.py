"""oci/monitor/client: a monitor that does not start or answer."""

import socket
from pathlib import Path

import pytest

from oci.monitor.client import Monitor
from oci.monitor.types import MonitorUnavailable


async def test_a_monitor_that_does_not_start_in_time_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(MonitorUnavailable, match=r"did not start within 1e-06 s"):
        await Monitor.connect(tmp_path, timeout_s=1e-6)


async def test_a_silent_monitor_is_given_up_after_its_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "monitor.sock"))
        listener.listen()
        with pytest.raises(MonitorUnavailable, match=r"has not answered Hello within 0\.01 s"):
            await Monitor.connect(tmp_path, timeout_s=0.01)
