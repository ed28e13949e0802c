"""Cgroups of this machine, whichever version it has: ours beside those that crun and runc make for the same
resources, and what only a kernel does."""

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.cgroup_limits import LimitRefused, MissingController
from host.cgroups import CgroupBusy, Hierarchy
from oci.run.cgroups.choose import cgroup_for, cgroup_from
from oci.run.cgroups.files import FilesCgroup
from oci.run.cgroups.types import Cgroup, CgroupInUse
from tests.harness import processes
from tests.harness.cgroups import Sleeper, opens, wait_for
from tests.harness.patience import patient
from tests.harness.runs import scratch

pytestmark = pytest.mark.root

TOP = f"/podwright-test-run-{secrets.token_hex(4)}"
PATH = f"{TOP}/pod/container"
HIERARCHY = Hierarchy.detect()
VERSION = HIERARCHY.version
MIB = 1 << 20
BOUND_S = patient(30)
NO_DEVICES = {"allow": False, "access": "rwm"}
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}

# Of every file that can be written: what is asked for must be there, whoever made it.
RESOURCES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "shares": {"cpu": {"shares": 100}},
    "quota": {"cpu": {"quota": 50500, "period": 50000}},
    "quota alone": {"cpu": {"quota": 20000}},
    "no quota": {"cpu": {"quota": -1, "period": 200000}},
    "processors": {"cpu": {"cpus": "0", "mems": "0"}},
    "memory": {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
    "memory and swap": {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}},
    "no memory limit": {"memory": {"limit": -1, "swap": -1}},
    "processes": {"pids": {"limit": 20}},
    "any number of processes": {"pids": {"limit": -1}},
    "huge pages": {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 * MIB}]},
    "no device": {"devices": [NO_DEVICES]},
    "a device": {"devices": [NO_DEVICES, FUSE]},
    "every device": {"devices": [{"allow": True, "access": "rwm"}]},
}
if VERSION == 2:
    RESOURCES["files"] = {"unified": {"memory.high": str(48 * MIB), "memory.oom.group": "1"}}
else:
    RESOURCES["swappiness"] = {"memory": {"limit": 64 * MIB, "swappiness": 10}}

# Where the others are known to differ, by runtime and file; seen with crun 1.8.1 and 1.21, runc 1.1.
DIFFERENCES = {
    # The mapping of shares to weights has changed since (runc 1.3.2, crun 1.23).
    *((runtime, f"cpu.weight{what}") for runtime in ("crun", "runc") for what in ("", ".nice")),
    # crun allows /dev/console, which runc and we do not; tun is left out by it.
    ("crun", "devices.list"),
    # Reserved pages: runc since 1.1.11 and crun since 1.9 limit them, too.
    *(
        (runtime, f"hugetlb.2MB.rsvd.{name}")
        for runtime in ("crun", "runc")
        for name in ("limit_in_bytes", "max")
    ),
}
# What Debian 12's crun cannot do on version 1, where it writes -1 as a number without a sign.
REFUSALS = {("crun", "no quota", 1), ("crun", "any number of processes", 1)}
CASES = [
    (runtime, name)
    for runtime in ("crun", "runc")
    for name in RESOURCES
    if (runtime, name, VERSION) not in REFUSALS
]
_NOT_LIMITS = (
    *("cgroup.procs", "cgroup.threads", "tasks", "notify_on_release", "cgroup.clone_children"),
    *("memory.oom_control", "memory.force_empty", "memory.pressure_level", "cgroup.event_control"),
    *("memory.reclaim", "cgroup.subtree_control", "cgroup.pressure", "cgroup.kill"),
)
_COUNTERS = ("usage", "failcnt", "peak", "pressure", "stat", "reset_stats")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    HIERARCHY.kill(TOP)
    HIERARCHY.remove(TOP)


def ours(resources: dict[str, Any] | None = None) -> Cgroup:
    made = cgroup_for({"linux": {"cgroupsPath": PATH}}, "container", False, hierarchy=HIERARCHY)
    made.create(resources)
    return made


def limits() -> dict[str, str]:
    """All files of the container that hold a limit, by name."""
    found = {}
    for directory in HIERARCHY.directories(PATH):
        for file in directory.glob("*.*"):
            counter = any(word in file.name for word in _COUNTERS)
            if counter or file.name in _NOT_LIMITS or file.name.startswith("blkio") or file.is_dir():
                continue
            with contextlib.suppress(OSError):
                if file.stat().st_mode & 0o600 == 0o600 or file.name == "devices.list":
                    found[file.name] = "\n".join(sorted(file.read_text().split("\n"))).strip()
    return {name: text for name, text in found.items() if text}


@pytest.fixture
def created_by(request: pytest.FixtureRequest, rootfs: Path, tmp_path: Path) -> Iterator[Any]:
    """Have another runtime create the container with the same resources."""
    runtime = [request.param, "--root", str(tmp_path / "root")]

    def create(resources: dict[str, Any]) -> str:
        spec = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1"], "env": [], "cwd": "/"},
            "root": {"path": str(rootfs), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},  # nodes in it, not in the image
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount")],
                "cgroupsPath": PATH,
                "resources": resources,
            },
        }
        (tmp_path / "config.json").write_text(json.dumps(spec))
        with (tmp_path / "errors").open("wb") as errors:
            line = [*runtime, "create", "--bundle", str(tmp_path), "container"]
            code = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, check=False)
        assert code.returncode == 0, (tmp_path / "errors").read_text()
        return str(request.param)

    yield create
    subprocess.run([*runtime, "delete", "--force", "container"], check=True, timeout=BOUND_S)


@pytest.mark.parametrize(("created_by", "name"), CASES, indirect=["created_by"])
def test_the_same_limits_as_crun_and_runc_set(created_by: Any, name: str) -> None:
    runtime = created_by(RESOURCES[name])
    theirs = limits()
    HIERARCHY.kill(PATH)
    HIERARCHY.remove(PATH)
    ours(RESOURCES[name])
    mine = limits()
    differing = {
        file: (mine.get(file), theirs.get(file))
        for file in mine.keys() | theirs.keys()
        if mine.get(file) != theirs.get(file) and (runtime, file) not in DIFFERENCES
    }
    assert differing == {}


@pytest.fixture
def sleepers() -> Iterator[list[Sleeper]]:
    made: list[Sleeper] = []
    yield made
    for one in made:
        one.end()


def test_joining_is_of_every_hierarchy(sleepers: list[Sleeper]) -> None:
    cgroup = ours()
    sleepers.append(Sleeper(cgroup))
    pid = sleepers[0].process.pid
    assert pid in cgroup.pids()
    for line in processes.read(pid, "cgroup").splitlines():
        assert line.endswith(PATH)


def test_a_container_that_has_divided_its_cgroup_can_be_joined_where_it_is(sleepers: list[Sleeper]) -> None:
    """As one with systemd in it: on version 2 the cgroup itself takes no process any more."""
    cgroup = ours()
    sleepers.append(Sleeper(cgroup))
    first = sleepers[0].process.pid
    for tree in HIERARCHY.trees:
        below = tree.root / PATH.strip("/") / "init.scope"
        below.mkdir()
        if "cpuset" in tree.controllers and VERSION == 1:
            for name in ("cpuset.cpus", "cpuset.mems"):
                (below / name).write_text((below.parent / name).read_text())
        (below / "cgroup.procs").write_text(str(first))
    if VERSION == 2:
        (tree.root / PATH.strip("/") / "cgroup.subtree_control").write_text("+pids +memory")
    second = subprocess.Popen(["sleep", "1000"])
    cgroup.join(second.pid, like=first)
    assert {first, second.pid} <= set(cgroup.pids())
    second.kill()
    second.wait()


def test_a_child_joins_by_itself() -> None:
    """As the child of a creation does, by the paths that it was given."""
    cgroup = ours()
    child = os.fork()
    if child == 0:
        try:
            for path in cgroup.join_paths():
                path.write_text("0")
            lines = Path("/proc/self/cgroup").read_text().splitlines()
            os._exit(0 if all(line.endswith(PATH) for line in lines) else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    cgroup.delete()
    assert not HIERARCHY.exists(PATH)


def test_frozen_and_thawed_again(sleepers: list[Sleeper]) -> None:
    cgroup = ours()
    sleepers.append(Sleeper(cgroup, "while :; do :; done"))
    assert not cgroup.frozen()
    cgroup.freeze()
    assert cgroup.frozen()
    assert cgroup_from(json.loads(json.dumps(cgroup.facts()))).frozen()
    cgroup.thaw()
    assert not cgroup.frozen()
    wait_for(lambda: processes.state(sleepers[0].process.pid) == "R")


def test_a_frozen_cgroup_is_not_taken_for_a_new_container() -> None:
    cgroup = ours()
    cgroup.freeze()
    with pytest.raises(CgroupInUse, match="is frozen"):
        ours()
    cgroup.thaw()


def test_a_cgroup_with_processes_is_not_taken_for_a_new_container(sleepers: list[Sleeper]) -> None:
    sleepers.append(Sleeper(ours()))
    with pytest.raises(CgroupInUse, match="is not empty"):
        ours()
    assert HIERARCHY.exists(PATH)


FORKS = "while :; do sleep 1000 & done"


@pytest.mark.parametrize("frozen", [False, True])
def test_all_are_killed_also_those_that_fork_meanwhile(sleepers: list[Sleeper], frozen: bool) -> None:
    cgroup = ours({"pids": {"limit": 60}})
    sleepers.append(Sleeper(cgroup, FORKS))
    wait_for(lambda: len(cgroup.pids()) > 40)
    if frozen:
        cgroup.freeze()
    cgroup.kill()
    wait_for(lambda: cgroup.pids() == [])
    cgroup.delete()
    assert not HIERARCHY.exists(PATH)


def test_deletion_takes_what_is_below_and_refuses_what_runs(sleepers: list[Sleeper]) -> None:
    cgroup = ours()
    sleepers.append(Sleeper(cgroup))
    for directory in HIERARCHY.directories(PATH):
        (directory / "below/more").mkdir(parents=True)
    with pytest.raises(CgroupBusy, match=str(sleepers[0].process.pid)):
        cgroup.delete()
    sleepers[0].end()
    cgroup.delete()
    cgroup.delete()
    assert not HIERARCHY.exists(PATH)
    assert HIERARCHY.exists(f"{TOP}/pod")


def test_an_update_changes_what_it_names(sleepers: list[Sleeper]) -> None:
    cgroup = ours(
        {"cpu": {"shares": 100, "quota": 50000}, "memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}
    )
    before = limits()
    sleepers.append(Sleeper(cgroup))
    cgroup.update({"pids": {"limit": 30}})
    assert limits() == before | {"pids.max": "30"}
    for limit in (32, 128, 64):  # up and down again
        cgroup.update({"memory": {"limit": limit * MIB, "swap": limit * MIB}})
    cgroup.update({"pids": {"limit": 20}, "cpu": {"quota": 20000, "period": 20000}})
    cgroup.update({"cpu": {"quota": 50000, "period": 100000}})
    now = limits()
    swap = {name for name in now if "swap" in name or "memsw" in name}
    assert {name: text for name, text in now.items() if name not in swap} == {
        name: text for name, text in before.items() if name not in swap
    }


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        ({"cpu": {"shares": 200, "cpus": "4000"}, "pids": {"limit": 9}}, LimitRefused),
        ({"cpu": {"shares": 200}, "hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, MissingController),
        ({"memory": {"limit": 90 * MIB}, "pids": {"limit": 1 << 40}}, LimitRefused),
    ],
)
def test_an_update_that_is_refused_changes_nothing(refused: dict[str, Any], error: type[Exception]) -> None:
    cgroup = ours({"cpu": {"shares": 100, "cpus": "0"}, "memory": {"limit": 64 * MIB}, "pids": {"limit": 20}})
    before = limits()
    with pytest.raises(error):
        cgroup.update(refused)
    assert limits() == before


def test_a_creation_that_is_refused_leaves_nothing() -> None:
    with pytest.raises(LimitRefused):
        ours({"memory": {"limit": 64 * MIB}, "cpu": {"cpus": "4000"}})
    assert not HIERARCHY.exists(PATH)


def test_kills_for_memory_are_counted() -> None:
    cgroup = ours({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    assert cgroup.oom_kills() == 0
    line = "read go; exec python3 -c 'x = bytearray(64 << 20)'"
    process = subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE)
    cgroup.join(process.pid)
    process.communicate(b"go\n", timeout=BOUND_S)
    assert process.returncode == -9
    assert cgroup.oom_kills() == 1


@pytest.fixture
def nodes() -> Iterator[Path]:
    """A directory in which device nodes work, as they may not in /tmp."""
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="nodes-") as place:
        yield Path(place)


def test_devices(nodes: Path) -> None:
    """By version 1's controller or by eBPF: the same."""
    block, null, memory = (str(nodes / name) for name in ("block", "null", "memory"))
    os.mknod(block, 0o060600, os.makedev(7, 0))
    os.mknod(null, 0o020600, os.makedev(1, 3))
    os.mknod(memory, 0o020600, os.makedev(1, 11))  # the kernel's log
    asked = [(null, os.O_RDWR), (memory, os.O_RDONLY), (memory, os.O_RDWR), (block, os.O_RDONLY)]
    one = {"type": "c", "major": 1, "minor": 11}

    cgroup = ours({"devices": [NO_DEVICES]})
    assert opens(cgroup, *asked) == [True, False, False, False]
    cgroup.update({"devices": [NO_DEVICES, {"allow": True, "access": "r", **one}]})
    assert opens(cgroup, *asked) == [True, True, False, False]
    cgroup.update({"devices": [{"allow": True}, {"allow": False, "access": "w", **one}]})
    assert opens(cgroup, *asked) == [True, True, False, True]
    cgroup.update({"pids": {"limit": 50}})
    assert opens(cgroup, *asked) == [True, True, False, True]
    cgroup.update({"devices": []})
    assert opens(cgroup, *asked) == [True, False, False, False]


def test_the_counters_of_a_process(sleepers: list[Sleeper]) -> None:
    cgroup = ours({"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}})
    sleepers.append(Sleeper(cgroup, "while :; do :; done"))
    wait_for(lambda: cgroup.stats()["cpu"]["usage"]["total"] > 10_000_000)
    found = cgroup.stats()
    assert found["memory"]["usage"]["limit"] == 64 * MIB
    assert found["pids"] == {"current": 1, "limit": 20}
    assert found["cpuset"]["cpus"]
    assert {"2MB"} <= found["hugetlb"].keys()


@pytest.mark.parametrize("created_by", ["runc"], indirect=True)
def test_the_counters_have_runcs_form(created_by: Any, tmp_path: Path) -> None:
    """Every key that runc has is there, in the same place; it leaves out what is 0."""
    created_by(RESOURCES["memory"])
    line = ["runc", "--root", str(tmp_path / "root"), "events", "--stats", "container"]
    theirs = json.loads(subprocess.run(line, capture_output=True, check=True, timeout=BOUND_S).stdout)["data"]
    found = cgroup_for({"linux": {"cgroupsPath": PATH}}, "container", False, hierarchy=HIERARCHY).stats()
    assert missing(theirs, found, "") == []


def missing(theirs: Any, mine: Any, where: str) -> list[str]:
    if not isinstance(theirs, dict):
        return []
    return [
        path
        for key, value in theirs.items()
        for path in ([f"{where}.{key}"] if key not in mine else missing(value, mine[key], f"{where}.{key}"))
    ]


def test_no_descriptor_stays_open(sleepers: list[Sleeper]) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    cgroup = ours(RESOURCES["a device"] | RESOURCES["memory"])
    sleepers.append(Sleeper(cgroup))
    cgroup.stats()
    cgroup.freeze()
    cgroup.thaw()
    with pytest.raises(LimitRefused):
        cgroup.update({"cpu": {"cpus": "4000"}})
    cgroup.kill()
    sleepers[0].end()
    cgroup.delete()
    assert descriptors() == before


def test_what_is_not_ours_is_done_without() -> None:
    """As somebody who may not write to any hierarchy: no cgroup, no error, but no limit either."""
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            made = cgroup_for({"linux": {"cgroupsPath": PATH}}, "container", False, hierarchy=HIERARCHY)
            assert isinstance(made, FilesCgroup)
            made.create(None)
            assert made.join_paths() == []
            with pytest.raises(MissingController):
                made.update({"pids": {"limit": 5}})
            made.delete()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
