from dataclasses import replace
from pathlib import Path

from host.cgroup_stats import (
    CpuUsage,
    OomSource,
    Pids,
    Pressure,
    Stats,
    oom_kills,
    oom_source,
    pids_current,
    read,
    usage,
)

V1_FILES = {
    "cpuacct.usage": "5000\n",
    "cpuacct.usage_user": "3000\n",
    "cpuacct.usage_sys": "2000\n",
    "cpu.stat": "nr_periods 3\nnr_throttled 2\nthrottled_time 99\n",
    "memory.usage_in_bytes": "1000\n",
    "memory.memsw.usage_in_bytes": "1100\n",
    "memory.limit_in_bytes": "4096\n",
    "memory.memsw.limit_in_bytes": "9223372036854771712\n",
    "memory.max_usage_in_bytes": "2000\n",
    "memory.failcnt": "4\n",
    "memory.stat": "rss 1\ntotal_rss 600\ntotal_inactive_file 300\ntotal_pgfault 7\ntotal_pgmajfault 1\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids.current": "4\n",
    "pids.max": "max\n",
    "hugetlb.2MB.usage_in_bytes": "2097152\n",
    "hugetlb.2MB.max_usage_in_bytes": "4194304\n",
    "hugetlb.2MB.rsvd.usage_in_bytes": "1\n",
}
V2_FILES = {
    "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 3\nnr_throttled 2\nthrottled_usec 9\n",
    "memory.current": "1000\n",
    "memory.stat": "anon 600\nfile 400\ninactive_file 1300\npgfault 7\npgmajfault 1\nkernel 50\n",
    "memory.max": "max\n",
    "memory.swap.current": "10\n",
    "memory.swap.max": "20\n",
    "memory.events": "low 0\nmax 3\noom 1\noom_kill 1\n",
    "pids.current": "4\n",
    "pids.max": "9\n",
    "memory.pressure": "some avg10=1.5 avg60=0 avg300=0.1 total=77\nfull avg10=0 avg60=0 avg300=0 total=5\n",
}


def written(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def test_version_1(tmp_path: Path) -> None:
    where = written(tmp_path, V1_FILES)
    found = read(lambda name: where if name != "unified" else None, 1)
    assert found.cpu is not None
    assert found.memory is not None
    assert (found.cpu.usage_ns, found.cpu.user_ns, found.cpu.system_ns) == (5000, 3000, 2000)
    assert (found.cpu.throttled_periods, found.cpu.throttled_ns) == (2, 99)
    memory = found.memory
    assert (memory.usage_bytes, memory.working_set_bytes, memory.rss_bytes) == (1000, 700, 600)
    assert (memory.page_faults, memory.major_page_faults, memory.swap_bytes) == (7, 1, 100)
    assert (memory.limit_bytes, memory.available_bytes, memory.swap_limit_bytes) == (4096, 3396, None)
    assert found.pids == Pids(4, None)
    assert found.hugepage_bytes == {"2MB": (2097152, 4194304)}
    assert found.pressure == {}
    assert oom_kills(lambda _: where, 1) == 2
    assert oom_source(lambda _: where, 1) == OomSource(
        where / "memory.oom_control", where / "cgroup.event_control"
    )


def test_version_2(tmp_path: Path) -> None:
    where = written(tmp_path, V2_FILES)
    found = read(lambda _: where, 2)
    assert found.cpu is not None
    assert found.memory is not None
    assert (found.cpu.usage_ns, found.cpu.throttled_ns) == (5000, 9000)
    assert found.memory.working_set_bytes == 0  # never negative
    assert (found.memory.limit_bytes, found.memory.available_bytes) == (None, None)
    assert (found.memory.swap_bytes, found.memory.swap_limit_bytes, found.memory.limit_hits) == (10, 20, 3)
    assert found.pids == Pids(4, 9)
    assert found.pressure["memory", "some"] == Pressure(1.5, 0.0, 0.1, 77)
    assert oom_kills(lambda _: where, 2) == 1


def test_a_cgroup_that_is_gone_counts_nothing(tmp_path: Path) -> None:
    for version in (1, 2):
        assert read(lambda _: tmp_path / "gone", version) == Stats()
        assert read(lambda _: None, version) == Stats()
    assert pids_current(lambda _: tmp_path / "gone") is None
    assert oom_kills(lambda _: None, 1) is None


def test_what_the_cri_reports_is_the_same_by_fewer_files(tmp_path: Path) -> None:
    for version, files in ((1, V1_FILES), (2, V2_FILES)):
        (tmp_path / str(version)).mkdir()
        where = written(tmp_path / str(version), files)
        whole, found = read(lambda _, at=where: at, version), usage(lambda _, at=where: at, version)  # type: ignore[misc]
        assert whole.cpu is not None
        assert whole.memory is not None
        assert found.cpu == CpuUsage(whole.cpu.usage_ns)
        kernel_bytes = None if version == 1 else whole.memory.kernel_bytes
        assert found.memory == replace(
            whole.memory,
            max_usage_bytes=None,
            limit_hits=None,
            kernel_bytes=kernel_bytes,
            own_page_faults=None,
        )
        assert found.pressure == whole.pressure
        assert usage(lambda _: tmp_path / "gone", version) == usage(lambda _: None, version) == Stats()
