"""A daemon that ends leaves its monitor to containers only: so does one that cannot start."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from cri.cgroups.choose import is_systemd
from host.cgroups import Hierarchy
from host.mounts import is_mountpoint
from tests.harness.client import pod_config
from tests.harness.daemon import Daemon, DaemonFailed, Settings, Value
from tests.harness.processes import command_line, everyone

pytestmark = pytest.mark.root


def _command_lines() -> str:
    """Of every process."""
    return "\n".join(map(command_line, everyone()))


@pytest.mark.skipif(
    is_systemd("auto", Hierarchy.detect()), reason="this host has what the configuration asks for"
)
def test_a_cgroup_driver_that_the_host_lacks_leaves_no_process() -> None:
    refused({"crio.runtime": {"cgroup_manager": "systemd"}}, r'cgroup_manager is "systemd", but')


def test_a_port_that_is_taken_leaves_no_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused({"crio.api": {"stream_port": str(port)}}, rf"port {port}: Address already in use")


def refused(tables: Mapping[str, Mapping[str, Value]], words: str) -> None:
    """Start a daemon that says ``words`` and ends, and look for what is left of it."""
    daemon = Daemon(Settings(tables=tables))
    try:
        with pytest.raises(DaemonFailed, match=words):
            daemon.start()
        assert str(daemon.runroot) not in _command_lines()
    finally:
        assert daemon.teardown() == []


@pytest.mark.parametrize("lives_on", [False, True])
def test_the_monitor_lives_as_long_as_a_container_or_the_daemon(lives_on: bool) -> None:
    with Daemon(Settings(tables={"crio.runtime": {"drop_infra_ctr": False}})) as daemon:
        if lives_on:
            daemon.client.run_pod(pod_config("one"))
        daemon.stop()
        assert (str(daemon.runroot) in _command_lines()) == lives_on
        assert is_mountpoint(Path(daemon.scratch)) == lives_on
        daemon.start()
        daemon.client.remove_all()
        daemon.stop()  # this daemon has not started the monitor that it ends
        assert str(daemon.runroot) not in _command_lines()
