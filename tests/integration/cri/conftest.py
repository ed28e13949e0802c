"""A daemon for a module's tests, with a busybox image imported; afterwards nothing of it may be left."""

import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.paths import Paths
from host.cgroups import Hierarchy
from tests.harness import client as client_module
from tests.harness.client import Client
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, Settings
from tests.harness.patience import patient
from tools.demo import busybox_image

IMAGE = "localhost/test/busybox:1"
# Of this run alone: other daemons on the machine are not our business.
CGROUP = f"/podwright-test-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Started, its image there; torn down with the check that nothing had to be forced."""
    with_image = Daemon(Settings())
    import_busybox(with_image)
    with_image.start()
    Hierarchy.detect().create(CGROUP)  # as the kubelet does for its pods
    # What the first pod makes stays: the bridge, the firewall tables.
    client = with_image.client
    client.remove_pod(client.run_pod(pod_config("first")))
    yield with_image
    forced = with_image.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


def import_busybox(daemon: Daemon) -> None:
    """Put the test image into the daemon's store."""
    archive = daemon.state / "busybox.tar"
    busybox_image().write_docker_archive(archive, IMAGE)
    subprocess.run(
        daemon.command("image import", str(archive)), check=True, timeout=patient(60), capture_output=True
    )


def pod_config(
    name: str, *, log_directory: Path | None = None, host_network: bool = False
) -> pb.PodSandboxConfig:
    """A pod in the cgroup of these tests."""
    return client_module.pod_config(
        name, log_directory=log_directory, host_network=host_network, cgroup_parent=CGROUP
    )


def take_counts(daemon: Daemon) -> Counts:
    """The machine, and what the daemon keeps for pods."""
    directories = [
        daemon.runroot,
        daemon.state / "root",
        daemon.state / "ipam",
        Paths(daemon.runroot).reachable,
    ]
    return Counts.take(directories, cgroups=re.compile(CGROUP))


# The daemon, its streaming process, monitor, keeper, zygote: a restart brings a new one in the place of each.
SINGLE = (
    " serve --config",
    "cri.streaming.process.main",
    "oci.monitor.main",
    "podwright-keeper",
    "podwright-zygote",
)
# The keeper comes with the first container, and stays with the monitor.
KEEPER = re.compile(r"file: .*/keeper\.sock$")
# One for each file system of logs, as long as the monitor lives.
LOG_WRITER = "podwright-logs"


def left_over(before: Counts, daemon: Daemon) -> list[str]:
    """What is there and was not before, but for the daemon's processes in the place of earlier ones.

    Looks again for a while: what has ended is not always gone at once.
    """
    end = time.monotonic() + patient(5)
    while True:
        after = take_counts(daemon)
        left = [line for line in before.left_over(after) if not _is_replaced(line, before, after)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(patient(0.2))


def _is_replaced(line: str, before: Counts, after: Counts) -> bool:
    """Whether the line names a process of the daemon that is there in the place of another, or its socket."""
    if KEEPER.match(line):
        return True
    if not line.startswith("process:"):
        return False
    found = [name for name in SINGLE if name in line]
    return LOG_WRITER in line or any(
        after.processes(name) <= max(1, before.processes(name)) for name in found
    )


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.client


@pytest.fixture
def nothing_left(daemon: Daemon) -> Iterator[None]:
    """The test removes its pods; then the machine must be as it was."""
    before = take_counts(daemon)
    yield
    assert left_over(before, daemon) == [], daemon.log_tail()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"
