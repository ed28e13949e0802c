from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oci.run.cgroups.statistics import numbers, oom_kills, page_sizes, statistics

V1 = {
    "cpuacct.usage": "11651855",
    "cpuacct.usage_percpu": "0 11651855",
    "cpuacct.usage_all": "cpu user system\n0 0 0\n1 3651855 8000000",
    "cpuacct.usage_sys": "8000000",
    "cpuacct.usage_user": "3651855",
    "cpu.stat": "nr_periods 3\nnr_throttled 1\nthrottled_time 77",
    "cpuset.cpus": "0-1",
    "cpuset.mems": "0",
    "cpuset.sched_relax_domain_level": "-1",
    "memory.stat": "cache 40\nrss 122880\nhierarchical_memory_limit 49999872",
    "memory.limit_in_bytes": "49999872",
    "memory.usage_in_bytes": "401408",
    "memory.max_usage_in_bytes": "2154496",
    "memory.failcnt": "2",
    "memory.memsw.limit_in_bytes": "9223372036854771712",
    "pids.current": "1",
    "pids.max": "max",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 0\nTotal 4096",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4",
}
V2 = {
    "cpu.stat": "usage_usec 50\nuser_usec 30\nsystem_usec 20\nnr_periods 3\nnr_throttled 1\nthrottled_usec 7",
    "cpu.pressure": "some avg10=0.10 avg60=0.00 avg300=0.00 total=24\n",
    "cpuset.cpus": "",
    "cpuset.cpus.effective": "0,2-3",
    "memory.stat": "anon 5\nfile 40",
    "memory.current": "1000",
    "memory.peak": "2000",
    "memory.max": "4096",
    "memory.swap.max": "100",
    "memory.swap.current": "10",
    "memory.events": "low 0\nmax 9\noom 2\noom_kill 3",
    "pids.current": "2",
    "pids.max": "20",
    "io.stat": "8:0 rbytes=4096 wbytes=1 rios=2 wios=1 dbytes=0 dios=0\n8:16 \n",
}


def read(files: Mapping[str, str], version: int) -> dict[str, Any]:
    return statistics(lambda _: version, lambda _, name: files.get(name))


def test_version_1() -> None:
    found = read(V1, 1)
    assert found["cpu"] == {
        "usage": {
            "total": 11651855,
            "percpu": [0, 11651855],
            "percpu_kernel": [0, 8000000],
            "percpu_user": [0, 3651855],
            "kernel": 8000000,
            "user": 3651855,
        },
        "throttling": {"periods": 3, "throttledPeriods": 1, "throttledTime": 77},
    }
    assert (found["cpuset"]["cpus"], found["cpuset"]["mems"]) == ([0, 1], [0])
    assert found["cpuset"]["sched_relax_domain_level"] == -1
    usage = {"limit": 49999872, "usage": 401408, "max": 2154496, "failcnt": 2}
    assert (found["memory"]["usage"], found["memory"]["cache"]) == (usage, 40)
    assert found["memory"]["swap"]["limit"] == 9223372036854771712
    assert found["memory"]["raw"]["rss"] == 122880
    assert found["pids"] == {"current": 1, "limit": 0}  # "max": none
    assert found["blkio"] == {
        "ioServiceBytesRecursive": [
            {"major": 8, "minor": 0, "op": "Read", "value": 4096},
            {"major": 8, "minor": 0, "op": "Write", "value": 0},
        ]
    }
    assert oom_kills(1, lambda _, name: V1.get(name)) == 4


def test_version_2() -> None:
    found = read(V2, 2)
    assert found["cpu"]["usage"] == {"total": 50000, "kernel": 20000, "user": 30000}
    assert found["cpu"]["throttling"] == {"periods": 3, "throttledPeriods": 1, "throttledTime": 7000}
    assert found["cpu"]["psi"]["some"] == {"avg10": 0.1, "avg60": 0.0, "avg300": 0.0, "total": 24}
    assert found["cpuset"]["cpus"] == [0, 2, 3]
    assert found["memory"]["usage"] == {"limit": 4096, "usage": 1000, "max": 2000, "failcnt": 9}
    assert found["memory"]["swap"] == {"limit": 4196, "usage": 1010, "max": 0, "failcnt": 0}
    assert found["pids"] == {"current": 2, "limit": 20}
    entry = {"major": 8, "minor": 0}
    assert found["blkio"]["ioServicedRecursive"][:2] == [
        {**entry, "op": "Read", "value": 2},
        {**entry, "op": "Write", "value": 1},
    ]
    assert oom_kills(2, lambda _, name: V2.get(name)) == 3


@pytest.mark.parametrize("version", [1, 2])
def test_a_cgroup_that_is_gone_has_zeros(version: int) -> None:
    found = read({}, version)
    assert found["cpu"]["usage"]["total"] == 0
    assert found["memory"]["usage"]["usage"] == 0
    assert found["pids"]["current"] == 0
    assert oom_kills(version, lambda *_: None) == 0


def test_sizes_of_huge_pages(tmp_path: Path) -> None:
    for name in ("hugepages-2048kB", "hugepages-1048576kB", "hugepages-64kB"):
        (tmp_path / name).mkdir()
    assert page_sizes(str(tmp_path)) == ["1GB", "2MB", "64KB"]
    assert page_sizes(str(tmp_path / "none")) == []


def test_lists_of_numbers() -> None:
    assert numbers("0-2,7") == [0, 1, 2, 7]
    assert numbers("") == []
