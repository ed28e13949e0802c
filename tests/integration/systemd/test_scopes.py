"""The own runtime's systemd driver: scopes of real processes, and that systemd leaves them alone."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.cgroup_limits import LimitRefused
from host.cgroups import Hierarchy
from host.systemd import UnitFailed
from oci.run.cgroups.choose import cgroup_for, cgroup_from
from oci.run.cgroups.types import Cgroup, CgroupInUse
from tests.harness.cgroups import Sleeper, opens, wait_for
from tests.integration.systemd.conftest import CGROUPS, properties, systemctl, units

MIB = 1 << 20
RESOURCES: dict[str, Any] = {
    "cpu": {"shares": 512, "quota": 50500, "period": 100000, "cpus": "0"},
    "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
    "pids": {"limit": 50},
    "unified": {"memory.high": str(48 * MIB), "memory.oom.group": "1"},
    "devices": [{"allow": False, "access": "rwm"}],
}
FILES = {
    "cpu.weight": "59",
    "cpu.max": "50500 100000",
    "cpuset.cpus": "0",
    "memory.max": str(64 * MIB),
    "memory.swap.max": "0",
    "memory.high": str(48 * MIB),
    "memory.oom.group": "1",
    "pids.max": "50",
}
PARENT = "podwrighttest.slice"


@pytest.fixture
def name() -> str:
    return secrets.token_hex(4)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = units()
    yield
    systemctl("stop", PARENT)
    wait_for(lambda: units() == before)
    assert not (CGROUPS / PARENT).exists()


@pytest.fixture
def sleepers() -> Iterator[list[Sleeper]]:
    made: list[Sleeper] = []
    yield made
    for one in made:
        one.end()


def scope(name: str, annotations: dict[str, str] | None = None, **more: Any) -> Cgroup:
    linux = {"cgroupsPath": f"{PARENT}:test:{name}"}
    spec = {"linux": linux, "annotations": annotations or {}, **more}
    return cgroup_for(spec, name, True, hierarchy=Hierarchy.detect())


def directory(name: str) -> Path:
    return CGROUPS / PARENT / f"test-{name}.scope"


def files(name: str) -> dict[str, str]:
    return {file: (directory(name) / file).read_text().strip() for file in FILES}


def test_a_scope_is_made_around_its_first_process(name: str, sleepers: list[Sleeper]) -> None:
    cgroup = scope(name)
    cgroup.create(RESOURCES)
    assert cgroup.join_paths() == []
    sleepers.append(Sleeper(cgroup))
    assert cgroup.join_paths() == [directory(name) / "cgroup.procs"]
    assert cgroup.pids() == [sleepers[0].process.pid]
    assert files(name) == FILES
    shown = properties(f"test-{name}.scope", "MemoryMax", "CPUWeight", "TasksMax", "AllowedCPUs", "Delegate")
    assert shown == {
        "MemoryMax": str(64 * MIB),
        "CPUWeight": "59",
        "TasksMax": "50",
        "AllowedCPUs": "0",
        "Delegate": "yes",
    }
    again = cgroup_from(json.loads(json.dumps(cgroup.facts())))
    sleepers.append(Sleeper(again))
    assert len(again.pids()) == 2
    again.freeze()
    assert cgroup.frozen()
    again.kill()
    wait_for(lambda: not again.pids())
    again.delete()
    again.delete()
    assert not directory(name).exists()


def test_limits_and_devices_last(name: str, sleepers: list[Sleeper]) -> None:
    """Through a daemon-reload and a change of another property, as created and as updated."""
    asked = [("/dev/null", os.O_RDWR), ("/dev/kmsg", os.O_RDONLY)]
    cgroup = scope(name)
    cgroup.create(RESOURCES)
    sleepers.append(Sleeper(cgroup))
    assert opens(cgroup, *asked) == [True, False]
    systemctl("daemon-reload")
    assert files(name) == FILES
    assert opens(cgroup, *asked) == [True, False]
    cgroup.update({"cpu": {"quota": 70500}, "memory": {"limit": 96 * MIB}, "pids": {"limit": 60}})
    updated = FILES | {"cpu.max": "70500 100000", "memory.max": str(96 * MIB), "pids.max": "60"}
    assert files(name) == updated
    systemctl("daemon-reload")
    systemctl("set-property", "--runtime", f"test-{name}.scope", "MemoryLow=1M")  # all are written again
    assert files(name) == updated | {"cpu.max": "71000 100000"}  # rounded by systemd
    assert opens(cgroup, *asked) == [True, False]


def test_what_the_kernel_refuses_leaves_no_unit(name: str, sleepers: list[Sleeper]) -> None:
    process = subprocess.Popen(["sleep", "1000"])
    cgroup = scope(name)
    cgroup.create({"cpu": {"cpus": "4000"}})
    with pytest.raises((LimitRefused, UnitFailed)):
        cgroup.join(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: not directory(name).exists())


def test_a_scope_with_processes_is_not_taken_for_a_new_container(name: str, sleepers: list[Sleeper]) -> None:
    cgroup = scope(name)
    cgroup.create(None)
    sleepers.append(Sleeper(cgroup))
    with pytest.raises(CgroupInUse, match="is not empty"):
        scope(name).create(None)


def test_a_unit_that_failed_does_not_stand_in_the_way(name: str, sleepers: list[Sleeper]) -> None:
    first = scope(name, {"org.systemd.property.CollectMode": "'inactive'"})
    first.create({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}, "unified": {"memory.oom.group": "1"}})
    sleepers.append(Sleeper(first, "exec python3 -c 'x = bytearray(64 << 20)'"))
    wait_for(lambda: not directory(name).exists())
    second = scope(name)
    second.create(None)
    sleepers.append(Sleeper(second))
    assert second.pids() == [sleepers[1].process.pid]
    second.kill()
    sleepers[1].end()
    second.delete()


def test_annotations_become_properties(name: str, sleepers: list[Sleeper]) -> None:
    cgroup = scope(name, {"org.systemd.property.TimeoutStopSec": "uint32 7"})
    cgroup.create(None)
    sleepers.append(Sleeper(cgroup))
    assert properties(f"test-{name}.scope", "TimeoutStopUSec") == {"TimeoutStopUSec": "7s"}


def test_a_cgroup_of_its_own_belongs_to_the_containers_user(name: str, sleepers: list[Sleeper]) -> None:
    cgroup = cgroup_for(
        {
            "linux": {"cgroupsPath": f"{PARENT}:test:{name}", "namespaces": [{"type": "cgroup"}]},
            "mounts": [{"destination": "/sys/fs/cgroup", "options": ["rw"]}],
            "process": {"user": {"uid": 4321}},
        },
        name,
        True,
        hierarchy=Hierarchy.detect(),
    )
    cgroup.create({"memory": {"limit": 64 * MIB}})
    sleepers.append(Sleeper(cgroup))
    owners = {
        file: (directory(name) / file).stat().st_uid
        for file in ("", "cgroup.procs", "cgroup.subtree_control", "memory.max", "pids.max")
    }
    assert owners == {"": 4321, "cgroup.procs": 4321, "cgroup.subtree_control": 4321} | dict.fromkeys(
        ("memory.max", "pids.max"), 0
    )
