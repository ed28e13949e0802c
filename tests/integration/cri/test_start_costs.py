"""What the start of a daemon reads under containers: nothing twice that is there once."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import container_config, eventually
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, pod_config

pytestmark = pytest.mark.root

# Pods of one container each; in the second half of them that runs.
FEW, MANY = 4, 12
# Files that are read for each container and each pod, by the ends of their paths. A result of a network is
# read once for its host ports, and once to see whether somebody still has it.
OF_A_CONTAINER = {"rootfs.saved": 1}
OF_A_POD = {"pw-test#-#-eth#": 2}
OF_A_RUNNING = {"Handles": 1}
# For the scratch directory of commands, for the cgroups, and for all root file systems.
MOUNT_TABLE = 3


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("costs") / "report"


@pytest.fixture(scope="module")
def daemon(report: Path) -> Iterator[Daemon]:
    """One that counts: tests.crash.counted."""
    counting = Daemon(Settings(), program=[sys.executable, "-m", "tests.crash.counted", str(report)])
    import_busybox(counting)
    counting.start()
    Hierarchy.detect().create(CGROUP)
    yield counting
    forced = counting.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


def fill(daemon: Daemon, number: int) -> None:
    """Have so many pods."""
    client = daemon.client
    there = len(client.pods())
    for name in range(there, number):
        config = pod_config(f"pod-{name}", log_directory=daemon.state / "log/pods")
        command = ["true"] if name % 2 else ["sleep", "1000000"]
        pod = client.run_pod(config)
        container = client.create_container(pod, container_config("main", IMAGE, command), config)
        client.start_container(container)
    eventually(client.containers, lambda all_of_them: _exited(all_of_them) == number // 2, "half have exited")


def _exited(containers: list[pb.Container]) -> int:
    return sum(container.state == pb.CONTAINER_EXITED for container in containers)


def start_costs(daemon: Daemon, report: Path) -> dict[str, Counter[str]]:
    """Of a start after a kill."""
    daemon.kill()
    report.unlink()
    daemon.start()
    costs = json.loads(report.read_text())
    return {kind: Counter(costs[kind]) for kind in ("opened", "statements", "requests")}


def growth(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    names = {*before, *after}
    return {name: after[name] - before[name] for name in names if after[name] != before[name]}


def test_a_start_reads_the_tables_once_and_so_much_of_each_container(daemon: Daemon, report: Path) -> None:
    costs = []
    for number in (FEW, MANY):
        fill(daemon, number)
        costs.append(start_costs(daemon, report))
    few, many = costs
    more = MANY - FEW

    found = {name.rpartition("/")[2]: times for name, times in growth(few["opened"], many["opened"]).items()}
    assert found == {name: more * times for name, times in {**OF_A_CONTAINER, **OF_A_POD}.items()}
    assert growth(few["statements"], many["statements"]) == {}
    assert growth(few["requests"], many["requests"]) == {
        name: number * more // 2 for name, number in OF_A_RUNNING.items()
    }
    assert many["opened"]["/proc/self/mountinfo"] == MOUNT_TABLE
    assert _exited(daemon.client.containers()) == MANY // 2
