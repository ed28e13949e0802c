"""apt's verbs under a pod that writes all the time; each test goes on where the one before has ended."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client
from tests.harness.patience import patient
from tests.harness.processes import command_line, everyone, is_there
from tests.node.inside.pods import Pods, Running, gaps
from tests.node.inside.service import Unit, run, units

PACKAGE = "/root/podwright.deb"
TIMEOUT_S = patient(120)
STATE = (
    "/etc/podwright",
    "/run/podwright",
    "/run/podwright-userns",
    "/var/lib/podwright",
    "/var/log/podwright",
)


def dpkg(verb: str, what: str) -> None:
    done = subprocess.run(
        ["dpkg", verb, what], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pod(client: Client) -> Running:
    """Not removed by us: the last test purges it."""
    return Pods(client).run("under-dpkg")


def test_an_upgrade_restarts_the_daemon_and_no_container(service: Unit, pod: Running) -> None:
    daemon, container = service.pid, pod.pid
    dpkg("--install", PACKAGE)
    assert service["ActiveState"] == "active"
    assert service.pid != daemon
    pod.goes_on()
    assert pod.pid == container
    assert gaps(pod.lines()) == []


def test_a_disabled_service_stays_disabled_at_an_upgrade(service: Unit) -> None:
    service.do("disable")
    dpkg("--install", PACKAGE)
    assert service["UnitFileState"] == "disabled"
    service.do("enable")


def test_pods_outlive_a_removal_and_the_next_installation_finds_them(service: Unit, pod: Running) -> None:
    container = pod.pid
    dpkg("--remove", "podwright")
    assert service["LoadState"] == "not-found"
    assert not Path("/usr/lib/podwright").exists()
    pod.goes_on()
    dpkg("--install", PACKAGE)
    assert pod.status.state == pb.CONTAINER_RUNNING
    assert pod.pid == container
    assert gaps(pod.lines()) == []


def test_purging_ends_pods_and_leaves_nothing(pod: Running) -> None:
    container = pod.pid
    dpkg("--purge", "podwright")
    assert not is_there(container)
    assert [path for path in STATE if os.path.lexists(path)] == []
    assert [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/podwright/" in line
    ] == []
    assert list(processes()) == []
    assert {
        unit for unit in units() if unit.startswith("podwright") and "podwright-node" not in unit
    } == set()
    assert list(Path("/sys/fs/cgroup").rglob(f"*{pod.container}*")) == []
    assert pod.pod not in "".join(path.read_text() for path in Path("/var/lib/cni/networks").rglob("*.*.*.*"))
    assert "podwright" not in run("nft", "list", "tables")
    assert list(Path("/etc/systemd/system").rglob("podwright.service")) == []


def processes() -> Iterator[str]:
    """Command lines of Podwright's programs."""
    for line in map(command_line, everyone()):
        if "oci.monitor" in line or "podwright serve" in line:
            yield line
