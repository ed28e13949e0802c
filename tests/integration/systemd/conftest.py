"""A daemon with the systemd driver. Without systemd as process 1 and cgroup version 2 alone, nothing is
collected here: these tests are for the node's guest (python -m tests.node.shell)."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.cgroups import Hierarchy
from tests.harness.client import Client, eventually, pod_config
from tests.harness.daemon import Daemon, Settings
from tests.harness.patience import patient
from tests.integration.cri.conftest import import_busybox

SYSTEMD_RUNS = Path("/run/systemd/system")
CGROUPS = Path("/sys/fs/cgroup")
if not SYSTEMD_RUNS.is_dir() or Hierarchy.detect().version != 2:
    collect_ignore_glob = ["*.py"]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Started, its image there, and systemd its cgroup driver."""
    made = Daemon(Settings(tables={"crio.runtime": {"cgroup_manager": "systemd"}}))
    import_busybox(made)
    made.start()
    made.client.remove_pod(made.client.run_pod(pod_config("first")))  # the bridge stays
    yield made
    assert made.teardown() == []


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.client


@pytest.fixture
def nothing_left(client: Client) -> Iterator[None]:
    """When the pods are removed no unit and no cgroup of theirs may be there."""
    before = units(), cgroups()
    yield
    client.remove_all()  # of a test that failed
    eventually(lambda: (units(), cgroups()), lambda now: now == before, "all of it is gone")


def systemctl(*words: str) -> str:
    """What systemctl prints; its failure is the test's."""
    command = ["systemctl", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(30), check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def units() -> set[str]:
    """The slices and scopes that systemd knows, with their states."""
    listed = systemctl("list-units", "--all", "--full", "--plain", "--no-legend", "--type=slice,scope")
    return {" ".join(line.split()[:4]) for line in listed.splitlines() if "session" not in line}


def cgroups() -> set[str]:
    """The cgroups of pods."""
    walked = {Path(directory) for directory, _, _ in os.walk(CGROUPS)}  # others come and go meanwhile
    return {str(path) for path in walked if path.suffix == ".scope" and "session" not in path.name}


def properties(unit: str, *names: str) -> dict[str, str]:
    """A unit's properties as systemctl shows them."""
    shown = systemctl("show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in shown.splitlines())
