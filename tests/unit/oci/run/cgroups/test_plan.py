"""Resources to writes, as tables for both versions; the values are runc's and crun's."""

from collections.abc import Mapping
from typing import Any

import pytest

from oci.run.cgroups.plan import Write, plan
from oci.run.cgroups.types import BadResources

NO_LIMIT_V1 = "9223372036854771712"
FRESH_V1 = {
    "cpu.cfs_period_us": "100000",
    "cpu.cfs_quota_us": "-1",
    "cpu.cfs_burst_us": "0",
    "memory.limit_in_bytes": NO_LIMIT_V1,
    "memory.memsw.limit_in_bytes": NO_LIMIT_V1,
}
FRESH_V2 = {"cpu.max": "max 100000", "cpu.max.burst": "0", "memory.max": "max", "memory.current": "4096"}


def writes(resources: Mapping[str, Any], version: int, files: Mapping[str, str]) -> list[Write]:
    return plan(resources, lambda _: version, lambda _, name: files.get(name))


def texts(resources: Mapping[str, Any], version: int, files: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(write.name, write.text) for write in writes(resources, version, files)]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"memory": None, "cpu": None, "pids": None, "hugepageLimits": None}, []),
        ({"cpu": {"shares": 512}}, [("cpu.shares", "512")]),
        ({"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""}}, []),
        ({"cpu": {"quota": -1}}, [("cpu.cfs_quota_us", "-1")]),
        (
            {"cpu": {"quota": 5000, "period": 200000}},
            [("cpu.cfs_period_us", "200000"), ("cpu.cfs_quota_us", "5000")],
        ),
        (
            {"cpu": {"quota": 5000, "period": 10000}},
            [("cpu.cfs_quota_us", "5000"), ("cpu.cfs_period_us", "10000")],
        ),
        (
            {"cpu": {"quota": 5000, "burst": 1000}},
            [("cpu.cfs_quota_us", "5000"), ("cpu.cfs_burst_us", "1000")],
        ),
        ({"cpu": {"idle": 1}}, [("cpu.idle", "1")]),
        (
            {"cpu": {"realtimeRuntime": 950000, "realtimePeriod": 1000000, "shares": 2}},
            [("cpu.rt_period_us", "1000000"), ("cpu.rt_runtime_us", "950000"), ("cpu.shares", "2")],
        ),
        ({"cpu": {"cpus": "0-1", "mems": "0"}}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
        ({"memory": {"limit": 4096}}, [("memory.limit_in_bytes", "4096")]),
        (
            {"memory": {"limit": 4096, "swap": 8192}},
            [("memory.limit_in_bytes", "4096"), ("memory.memsw.limit_in_bytes", "8192")],
        ),
        (
            {"memory": {"limit": -1}},
            [("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")],
        ),
        ({"memory": {"swap": -1}}, [("memory.memsw.limit_in_bytes", "-1")]),
        (
            {"memory": {"reservation": 10, "swappiness": 0, "disableOOMKiller": True}},
            [("memory.soft_limit_in_bytes", "10"), ("memory.oom_control", "1"), ("memory.swappiness", "0")],
        ),
        ({"memory": {"kernel": 5, "disableOOMKiller": False, "useHierarchy": True}}, []),
        ({"pids": {"limit": 5}}, [("pids.max", "5")]),
        ({"pids": {"limit": 0}}, [("pids.max", "1")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")]),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]},
            [("hugetlb.2MB.limit_in_bytes", "4194304"), ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304")],
        ),
        (
            {
                "blockIO": {
                    "weight": 100,
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 50}],
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
                    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 601}],
                    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 602}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 603}],
                }
            },
            [
                ("blkio.bfq.weight", "100"),
                ("blkio.bfq.weight_device", "8:0 50"),
                ("blkio.throttle.read_bps_device", "8:0 600"),
                ("blkio.throttle.write_bps_device", "8:0 601"),
                ("blkio.throttle.read_iops_device", "8:0 602"),
                ("blkio.throttle.write_iops_device", "8:0 603"),
            ],
        ),
        (
            {"network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]}},
            [("net_cls.classid", "1048577"), ("net_prio.ifpriomap", "eth0 500")],
        ),
        (
            {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}},
            [("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"), ("rdma.max", "mlx4_0 hca_object=0")],
        ),
    ],
)
def test_version_1(resources: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert texts(resources, 1, FRESH_V1) == expected


@pytest.mark.parametrize(
    ("now", "swap", "first"),
    [("4096", 16384, "memory.memsw.limit_in_bytes"), ("32768", 16384, "memory.limit_in_bytes")],
)
def test_the_outer_limit_grows_first_and_shrinks_last(now: str, swap: int, first: str) -> None:
    """memory may never pass memory and swap together."""
    files = FRESH_V1 | {"memory.limit_in_bytes": now, "memory.memsw.limit_in_bytes": now}
    found = texts({"memory": {"limit": 8192, "swap": swap}}, 1, files)
    assert found[0][0] == first
    assert len(found) == 2


@pytest.mark.parametrize(("version", "name"), [(1, "cpu.cfs_burst_us"), (2, "cpu.max.burst")])
def test_a_burst_is_lowered_before_its_quota(version: int, name: str) -> None:
    files = {1: FRESH_V1, 2: FRESH_V2}[version] | {name: "90000"}
    found = texts({"cpu": {"quota": 5000, "burst": 5000}}, version, files)
    assert found[0][0] == name


def test_the_older_names_of_version_1s_weights() -> None:
    files = {"blkio.weight": "500"}
    assert texts({"blockIO": {"weight": 10, "leafWeight": 20}}, 1, files) == [
        ("blkio.weight", "10"),
        ("blkio.leaf_weight", "20"),
    ]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"cpu": {"shares": 1024}}, [("cpu.weight", "100")]),
        ({"cpu": {"shares": 2}}, [("cpu.weight", "1")]),
        ({"cpu": {"shares": 262144}}, [("cpu.weight", "10000")]),
        ({"cpu": {"quota": 50000}}, [("cpu.max", "50000 100000")]),
        ({"cpu": {"quota": -1, "period": 200000}}, [("cpu.max", "max 200000")]),
        ({"cpu": {"period": 200000}}, [("cpu.max", "max 200000")]),
        ({"cpu": {"idle": 1, "burst": 7}}, [("cpu.idle", "1"), ("cpu.max.burst", "7")]),
        ({"cpu": {"cpus": "1", "mems": "0"}}, [("cpuset.cpus", "1"), ("cpuset.mems", "0")]),
        ({"memory": {"limit": 4096}}, [("memory.max", "4096")]),
        ({"memory": {"limit": 4096, "swap": 4096}}, [("memory.swap.max", "0"), ("memory.max", "4096")]),
        ({"memory": {"limit": 4096, "swap": 9000}}, [("memory.swap.max", "4904"), ("memory.max", "4096")]),
        ({"memory": {"limit": 4096, "swap": -1}}, [("memory.swap.max", "max"), ("memory.max", "4096")]),
        ({"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"memory": {"limit": -1, "swap": 50}}, [("memory.swap.max", "50"), ("memory.max", "max")]),
        ({"memory": {"reservation": 10, "swappiness": 60, "kernel": 9}}, [("memory.low", "10")]),
        ({"memory": {"limit": 8192, "checkBeforeUpdate": True}}, [("memory.max", "8192")]),
        ({"pids": {"limit": 0}}, [("pids.max", "1")]),
        (
            {"hugepageLimits": [{"pageSize": "1GB", "limit": 0}]},
            [("hugetlb.1GB.max", "0"), ("hugetlb.1GB.rsvd.max", "0")],
        ),
        ({"blockIO": {"weight": 10}}, [("io.weight", "1")]),
        ({"blockIO": {"weight": 500}}, [("io.weight", "4950")]),
        ({"blockIO": {"weight": 1000}}, [("io.weight", "10000")]),
        (
            {
                "blockIO": {
                    "weightDevice": [{"major": 8, "minor": 16, "weight": 300}],
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}],
                }
            },
            [("io.bfq.weight", "8:16 300"), ("io.max", "8:0 rbps=600"), ("io.max", "8:0 wiops=max")],
        ),
        (
            {"unified": {"memory.high": "5", "io.max": "8:0 rbps=1\n8:16 rbps=2\n"}, "pids": {"limit": 1}},
            [("pids.max", "1"), ("memory.high", "5"), ("io.max", "8:0 rbps=1\n8:16 rbps=2")],
        ),
    ],
)
def test_version_2(resources: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert texts(resources, 2, FRESH_V2) == expected


def test_version_2_has_weights_of_bfq_where_that_schedules() -> None:
    assert texts({"blockIO": {"weight": 500}}, 2, {"io.bfq.weight": "default 100"}) == [
        ("io.bfq.weight", "500")
    ]


@pytest.mark.parametrize(
    ("resources", "files", "expected"),
    [
        ({"cpu": {"quota": 7000}}, {"cpu.max": "5000 50000"}, [("cpu.max", "7000 50000")]),
        ({"cpu": {"period": 90000}}, {"cpu.max": "5000 50000"}, [("cpu.max", "5000 90000")]),
        ({"memory": {"swap": 9000}}, {"memory.max": "4000"}, [("memory.swap.max", "5000")]),
    ],
)
def test_an_update_leaves_alone_what_it_does_not_name(
    resources: dict[str, Any], files: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert texts(resources, 2, FRESH_V2 | files) == expected


@pytest.mark.parametrize(
    ("version", "resources", "words"),
    [
        (1, {"unified": {"memory.high": "1"}}, "needs cgroup version 2"),
        (1, {"memory": {"swappiness": 101}}, "swappiness is 101"),
        (1, {"memory": {"limit": "1G"}}, "limit is '1G', not a whole number"),
        (1, {"memory": {"limit": True}}, "not a whole number"),
        (1, {"cpu": {"cpus": "0\n1"}}, "not a line of text"),
        (1, {"cpu": []}, "not an object"),
        (1, {"hugepageLimits": {}}, "not a list of objects"),
        (1, {"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}, "pageSize"),
        (1, {"network": {"priorities": [{"name": "a b", "priority": 1}]}}, "not the name of an interface"),
        (1, {"rdma": {"a\nb": {}}}, "rdma"),
        (2, {"unified": {"../memory.high": "1"}}, "not a file and its text"),
        (2, {"unified": {".x": "1"}}, "not a file and its text"),
        (2, {"unified": {"memory.high": 1}}, "not a file and its text"),
        (2, {"cpu": {"realtimeRuntime": 5}}, "needs cgroup version 1"),
        (2, {"network": {"classID": 5}}, "needs cgroup version 1"),
        (2, {"memory": {"disableOOMKiller": True}}, "needs cgroup version 1"),
        (2, {"memory": {"swap": 5}}, "memory has no limit"),
        (2, {"memory": {"limit": 10, "swap": 5}}, "is below 10"),
        (2, {"memory": {"limit": 10, "checkBeforeUpdate": True}}, "below the usage, 4096"),
    ],
)
def test_what_makes_no_sense_is_refused(version: int, resources: dict[str, Any], words: str) -> None:
    with pytest.raises(BadResources, match=words):
        texts(resources, version, FRESH_V2 if version == 2 else FRESH_V1)


def test_hybrid_has_both_forms() -> None:
    """A controller that version 1 does not have comes from the version 2 tree."""
    resources = {"pids": {"limit": 5}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
    found = plan(resources, lambda name: 2 if name == "hugetlb" else 1, lambda *_: None)
    assert [write.name for write in found] == ["pids.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"]


@pytest.mark.parametrize("version", [1, 2])
def test_no_swap_needs_no_swap_accounting(version: int) -> None:
    def missing_ok(swap: int) -> list[bool]:
        found = writes({"memory": {"limit": 4096, "swap": swap}}, version, {})
        return [write.missing_ok for write in found if "sw" in write.name]

    assert [missing_ok(4096), missing_ok(-1), missing_ok(8192)] == [[True], [True], [False]]
