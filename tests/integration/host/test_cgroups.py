"""Cgroups of the machine that runs the tests, whichever version it has; all below one name."""

import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.cgroup_limits import LimitRefused, Limits
from host.cgroups import CgroupBusy, Hierarchy
from host.features import probe
from host.userns import UserNamespaceFailed, make_user_namespace
from tests.harness.processes import PROC, cgroup, descriptor_count

pytestmark = pytest.mark.root

TOP = f"/podwright-test-cgroups-{secrets.token_hex(4)}"
POD = f"{TOP}/pod/container"


@pytest.fixture
def hierarchy() -> Iterator[Hierarchy]:
    found = Hierarchy.detect()
    found.create(POD)
    yield found
    assert found.kill(TOP)
    found.remove(TOP)
    assert not found.exists(TOP)


@pytest.fixture
def sleeper(hierarchy: Hierarchy) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the pod's cgroup, reaped as soon as it dies."""
    process = subprocess.Popen(["sleep", "1000"])
    enter(hierarchy, process.pid)
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    yield process
    process.kill()
    reaper.join()


def enter(hierarchy: Hierarchy, pid: int) -> None:
    for directory in hierarchy.directories(POD):
        (directory / "cgroup.procs").write_text(str(pid))


def test_a_new_cgroup_takes_processes_in_every_hierarchy(
    hierarchy: Hierarchy, sleeper: subprocess.Popen[bytes]
) -> None:
    assert hierarchy.pids(TOP) == {sleeper.pid}
    assert (hierarchy.process_count(TOP), hierarchy.process_count(f"{TOP}/absent")) == (1, 0)
    assert hierarchy.pids_current(POD) == 1
    lines = cgroup(sleeper.pid).splitlines()
    assert all(line.endswith(POD) for line in lines)


def test_kill_leaves_nothing_and_busy_ones_stay(
    hierarchy: Hierarchy, sleeper: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(CgroupBusy, match=str(sleeper.pid)):
        hierarchy.remove(TOP)
    assert hierarchy.kill(TOP)
    assert hierarchy.pids(TOP) == frozenset()
    hierarchy.remove(TOP)
    assert not hierarchy.exists(TOP)


def test_a_frozen_process_dies_too(hierarchy: Hierarchy, sleeper: subprocess.Popen[bytes]) -> None:
    freezer = hierarchy.directory(POD, "freezer")
    if freezer is not None:
        (freezer / "freezer.state").write_text("FROZEN")
    else:
        (hierarchy.directories(POD)[0] / "cgroup.freeze").write_text("1")
    assert hierarchy.kill(TOP)
    assert hierarchy.pids(POD) == frozenset()


def test_limits_up_and_down(hierarchy: Hierarchy) -> None:
    for size in (64 << 20, 128 << 20, 32 << 20):
        hierarchy.apply(POD, Limits(memory_bytes=size, memory_swap_bytes=size))
        assert hierarchy.limits(POD).memory_bytes == size
    hierarchy.apply(
        POD, Limits(cpu_shares=512, cpu_quota_us=50000, cpu_period_us=100000, pids=7, cpuset_cpus="0")
    )
    found = hierarchy.limits(POD)
    assert (found.cpu_quota_us, found.cpu_period_us, found.pids, found.cpuset_cpus) == (50000, 100000, 7, "0")
    assert found.memory_bytes == 32 << 20
    hierarchy.apply(POD, Limits(memory_bytes=-1, memory_swap_bytes=-1))
    assert hierarchy.limits(POD).memory_bytes is None


def test_the_kernels_refusal_names_file_and_value(hierarchy: Hierarchy) -> None:
    with pytest.raises(LimitRefused, match=r"cpuset\.cpus = 4000"):
        hierarchy.apply(POD, Limits(cpuset_cpus="4000"))


def test_counters_count(hierarchy: Hierarchy, sleeper: subprocess.Popen[bytes]) -> None:
    # It stays while it is counted: version 2 has no memory of the dead, and moves none with a process.
    script = "read x; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; read x"
    burner = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert burner.stdin is not None
    assert burner.stdout is not None
    enter(hierarchy, burner.pid)
    burner.stdin.write(b"\n")
    burner.stdin.flush()
    assert burner.stdout.readline() == b"done\n"
    stats = hierarchy.stats(POD)
    burner.communicate(b"\n", timeout=30)
    assert stats.cpu is not None
    assert stats.cpu.usage_ns > 0
    assert hierarchy.cpu_usage_ns(POD) is not None
    assert stats.memory is not None
    assert stats.memory.usage_bytes > 0
    assert stats.memory.working_set_bytes <= stats.memory.usage_bytes
    assert stats.pids is not None
    assert stats.pids.current == 2


def test_an_oom_kill_is_counted(hierarchy: Hierarchy) -> None:
    hierarchy.apply(POD, Limits(memory_bytes=8 << 20, memory_swap_bytes=8 << 20))
    script = "read x; exec dd if=/dev/zero of=/dev/null bs=64M count=1"
    hungry = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    enter(hierarchy, hungry.pid)
    hungry.communicate(b"\n", timeout=30)
    assert hungry.returncode == -9
    assert hierarchy.oom_kills(POD) == 1
    source = hierarchy.oom_source(POD)
    assert source is not None
    assert source.file.exists()


def test_features_are_found_by_trying_and_leave_nothing(tmp_path: Path) -> None:
    descriptors, mounts = descriptor_count(), Path("/proc/self/mountinfo").read_text()
    found = probe(tmp_path)
    assert found.seccomp
    assert descriptor_count() == descriptors
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_a_user_namespace_has_its_maps() -> None:
    holder = make_user_namespace([(0, 3949199360, 65536)], [(0, 3949199360, 65536)])
    try:
        script = "grep -c . /proc/self/uid_map; tr -s ' ' < /proc/self/uid_map"
        target = f"{PROC}/{os.getpid()}/fd/{holder}"
        done = subprocess.run(
            ["nsenter", f"--user={target}", "sh", "-c", script], capture_output=True, text=True, timeout=10
        )
        assert done.stdout.split() == ["1", "0", "3949199360", "65536"], done.stderr
    finally:
        os.close(holder)


def test_a_bad_map_is_refused_and_leaves_nothing() -> None:
    before = descriptor_count()
    with pytest.raises(UserNamespaceFailed, match="uid_map"):
        make_user_namespace([(0, 0, 10), (5, 100, 10)], [(0, 0, 10)])
    assert descriptor_count() == before


def test_readings_leave_no_descriptor_behind(hierarchy: Hierarchy) -> None:
    before = descriptor_count()
    for _ in range(20):
        hierarchy.stats(POD)
    assert descriptor_count() == before
