"""Values of the metrics of pods, from the files of both cgroup versions."""

from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from cri.stats import samples
from cri.stats.families import BY_NAME
from cri.stats.samples import Sample
from host import cgroup_io, cgroup_stats
from host.cgroup_stats import Stats
from host.net_counters import InterfaceCounters
from host.process_counts import OpenFiles
from tests.unit.host.test_cgroup_io import IO_STAT
from tests.unit.host.test_cgroup_stats import V1_FILES, V2_FILES, written

GIB = 1 << 30


def by_name(*found: Sample) -> dict[str, int]:
    """``name label label`` and value; every sample has as many labels as its family says."""
    for name, labels, value in found:
        assert len(labels) == len(BY_NAME[name].labels), name
        assert value >= 0
    return {" ".join((name, *labels)): value for name, labels, value in found}


def test_cpu_and_memory_of_version_1(tmp_path: Path) -> None:
    where = written(tmp_path, {**V1_FILES, "cpuacct.usage": "7500000000", "cpuacct.usage_user": "5999999999"})
    stats = cgroup_stats.read(lambda name: where if name != "unified" else None, 1)
    cpu = by_name(*samples.cpu(stats))
    assert cpu["cpu_usage_seconds_total total"] == 7
    assert cpu["cpu_user_seconds_total"] == 5
    assert (cpu["cpu_cfs_periods_total"], cpu["cpu_cfs_throttled_periods_total"]) == (3, 2)
    memory = by_name(*samples.memory(stats))
    assert (memory["memory_usage_bytes"], memory["memory_working_set_bytes"]) == (1000, 700)
    assert memory["memory_swap"] == 100  # as cAdvisor: without the memory that memsw has in it
    assert (memory["memory_max_usage_bytes"], memory["memory_failcnt"]) == (2000, 4)
    assert memory["memory_failures_total pgfault hierarchy"] == 7
    assert memory["memory_failures_total pgfault container"] == 0
    assert by_name(*samples.hugetlb(stats)) == {
        "hugetlb_usage_bytes 2MB": 2 << 20,
        "hugetlb_max_usage_bytes 2MB": 4 << 20,
    }
    assert by_name(*samples.pressure(stats)) == {}


def test_cpu_memory_and_pressure_of_version_2(tmp_path: Path) -> None:
    pressure = "some avg10=0 avg60=0 avg300=0 total=2500000\nfull avg10=0 avg60=0 avg300=0 total=999999\n"
    where = written(tmp_path, {**V2_FILES, "memory.pressure": pressure, "memory.peak": "3000\n"})
    stats = cgroup_stats.read(lambda _: where, 2)
    memory = by_name(*samples.memory(stats))
    assert (memory["memory_rss"], memory["memory_cache"], memory["memory_swap"]) == (600, 400, 10)
    assert (memory["memory_max_usage_bytes"], memory["memory_kernel_usage"]) == (3000, 50)
    assert memory["memory_failures_total pgfault container"] == 7
    assert by_name(*samples.pressure(stats)) == {
        "pressure_memory_waiting_seconds_total": 2,
        "pressure_memory_stalled_seconds_total": 0,
    }


def test_a_cgroup_that_is_gone_has_no_samples() -> None:
    for of in (samples.cpu, samples.memory, samples.hugetlb, samples.pressure):
        assert list(of(Stats())) == []


def test_devices(tmp_path: Path) -> None:
    (tmp_path / "io.stat").write_text(IO_STAT)
    found = by_name(*samples.disk_io(cgroup_io.devices(lambda _: tmp_path, 2)))
    assert found["fs_reads_bytes_total 8:0"] == 4096
    assert found["fs_writes_total 8:0"] == 2
    assert found["blkio_device_usage_total 8:0 8 0 write"] == 8192


def test_a_layer_that_was_not_measured_has_no_usage() -> None:
    assert by_name(*samples.disk(None, 100, 10, 4)) == {
        "fs_inodes_free": 4,
        "fs_inodes_total": 10,
        "fs_limit_bytes": 100,
    }
    assert by_name(*samples.disk(7, 100, 10, 4))["fs_usage_bytes"] == 7


def test_interfaces() -> None:
    found = by_name(*samples.network([InterfaceCounters("eth0", 1, 2, 3, 4, 5, 6, 7, 8)]))
    assert found == {
        "network_receive_bytes_total eth0": 1,
        "network_receive_errors_total eth0": 2,
        "network_transmit_bytes_total eth0": 3,
        "network_transmit_errors_total eth0": 4,
        "network_receive_packets_total eth0": 5,
        "network_receive_packets_dropped_total eth0": 6,
        "network_transmit_packets_total eth0": 7,
        "network_transmit_packets_dropped_total eth0": 8,
    }


def test_processes_threads_and_limits(tmp_path: Path) -> None:
    stats = cgroup_stats.read(lambda _: written(tmp_path, V2_FILES), 2)
    found = by_name(*samples.process(stats, 2, OpenFiles(9, 3, 1024)))
    assert (found["processes"], found["threads"], found["threads_max"]) == (2, 4, 9)
    assert (found["file_descriptors"], found["sockets"]) == (9, 3)
    assert found["ulimits_soft max_open_files"] == 1024


def test_the_specification_of_a_container_without_and_with_limits() -> None:
    free = by_name(*samples.spec(pb.LinuxContainerResources(memory_swap_limit_in_bytes=-1), 5_999_999_999))
    assert "spec_cpu_quota" not in free
    assert free["start_time_seconds"] == 5
    assert (free["spec_memory_limit_bytes"], free["spec_memory_swap_limit_bytes"]) == (0, 0)
    bound = by_name(
        *samples.spec(
            pb.LinuxContainerResources(
                cpu_period=100000,
                cpu_quota=50000,
                cpu_shares=512,
                memory_limit_in_bytes=GIB,
                memory_swap_limit_in_bytes=(1 << 63) - 1,
                unified={"memory.min": "4096"},
            ),
            0,
        )
    )
    assert (bound["spec_cpu_quota"], bound["spec_cpu_shares"]) == (50000, 512)
    assert (bound["spec_memory_limit_bytes"], bound["spec_memory_swap_limit_bytes"]) == (GIB, 0)
    assert bound["spec_memory_reservation_limit_bytes"] == 4096
