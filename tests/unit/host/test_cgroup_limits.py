from pathlib import Path

import pytest

from host.cgroup_limits import (
    UNLIMITED,
    LimitRefused,
    Limits,
    MissingController,
    apply,
    read,
    shares_from_weight,
    weight_from_shares,
)

NO_LIMIT = 9223372036854771712


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    files = {
        "cpu/cpu.shares": 1024,
        "cpu/cpu.cfs_quota_us": -1,
        "cpu/cpu.cfs_period_us": 100000,
        "cpuset/cpuset.cpus": "0-1",
        "cpuset/cpuset.mems": "0",
        "memory/memory.limit_in_bytes": NO_LIMIT,
        "memory/memory.memsw.limit_in_bytes": NO_LIMIT,
        "pids/pids.max": "max",
        "hugetlb/hugetlb.2MB.limit_in_bytes": NO_LIMIT,
    }
    for name, value in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    names = ("cpu.weight", "memory.max", "memory.swap.max", "pids.max", "cpuset.cpus", "memory.high")
    for name in names:
        (tmp_path / name).write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    return tmp_path


def test_version_1_files(v1: Path) -> None:
    limits = Limits(512, 50000, 200000, "0", "0", 1 << 20, 1 << 21, 10, {"2MB": 0})
    apply(lambda name: v1 / name, 1, limits)
    assert (v1 / "hugetlb/hugetlb.2MB.limit_in_bytes").read_text() == "0"
    assert read(lambda name: v1 / name, 1) == Limits(512, 50000, 200000, "0", "0", 1 << 20, 1 << 21, 10)


def test_version_2_files(v2: Path) -> None:
    limits = Limits(
        cpu_shares=1024,
        cpu_quota_us=50000,
        memory_bytes=100,
        memory_swap_bytes=150,
        pids=-1,
        unified={"memory.high": "7"},
    )
    apply(lambda _: v2, 2, limits)
    texts = {file.name: file.read_text() for file in v2.iterdir()}
    assert texts["cpu.weight"] == "100"
    assert texts["cpu.max"] == "50000 100000"
    assert (texts["memory.max"], texts["memory.swap.max"]) == ("100", "50")
    assert (texts["pids.max"], texts["memory.high"]) == ("max", "7")
    found = read(lambda _: v2, 2)
    assert (found.cpu_quota_us, found.cpu_period_us) == (50000, 100000)
    assert (found.memory_bytes, found.memory_swap_bytes, found.pids) == (100, 150, None)


def test_what_is_not_named_stays(v1: Path) -> None:
    apply(lambda name: v1 / name, 1, Limits(pids=5))
    found = read(lambda name: v1 / name, 1)
    assert (found.cpu_shares, found.memory_bytes, found.pids) == (1024, None, 5)


def test_a_period_alone_keeps_the_quota(v2: Path) -> None:
    apply(lambda _: v2, 2, Limits(cpu_quota_us=5000))
    apply(lambda _: v2, 2, Limits(cpu_period_us=50000))
    assert (v2 / "cpu.max").read_text() == "5000 50000"


def test_a_missing_controller_is_named_only_when_needed() -> None:
    apply(lambda _: None, 1, Limits())
    with pytest.raises(MissingController, match="'pids'"):
        apply(lambda _: None, 1, Limits(pids=5))


def test_a_missing_file_is_named(v1: Path) -> None:
    with pytest.raises(MissingController, match=r"hugetlb\.1GB"):
        apply(lambda _: v1 / "gone", 1, Limits(hugepage_bytes={"1GB": 1}))


def test_no_swap_accounting_is_no_error(v1: Path) -> None:
    (v1 / "memory/memory.memsw.limit_in_bytes").unlink()
    apply(lambda name: v1 / name, 1, Limits(memory_bytes=5, memory_swap_bytes=5))
    assert (v1 / "memory/memory.limit_in_bytes").read_text() == "5"


@pytest.mark.parametrize("name", ["../evil.x", ".hidden"])
def test_unified_names_stay_in_the_cgroup(v2: Path, name: str) -> None:
    with pytest.raises(LimitRefused, match="unified"):
        apply(lambda _: v2, 2, Limits(unified={name: "1"}))


def test_unified_needs_version_2(v1: Path) -> None:
    with pytest.raises(LimitRefused, match=r"memory\.high"):
        apply(lambda name: v1 / name, 1, Limits(unified={"memory.high": "1"}))


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (1024, 100), (262144, 10000), (1 << 30, 10000)]
)
def test_weight(shares: int, weight: int) -> None:
    assert weight_from_shares(shares) == weight


@pytest.mark.parametrize("weight", range(1, 10001, 111))
def test_shares_that_are_read_back_are_the_same_weight(weight: int) -> None:
    assert weight_from_shares(shares_from_weight(weight)) == weight


def test_limits_with_names_are_read_as_those_that_are_asked_about(v1: Path, v2: Path) -> None:
    asked = Limits(hugepage_bytes={"2MB": 1}, unified={"memory.high": "5", "memory.none": "1"})
    assert read(lambda name: v1 / name, 1, asked).hugepage_bytes == {"2MB": UNLIMITED}
    found = read(lambda _: v2, 2, asked)
    assert (found.hugepage_bytes, found.unified) == ({"2MB": UNLIMITED}, {"memory.high": "max"})
