from dataclasses import replace
from typing import Any

import pytest

from oci.generate.inputs import BadContainer, HostView, HugepageLimit, Resources
from oci.generate.resources import check_list, linux_resources, oom_score_adj
from tests.unit.oci.generate.builders import V1, V2


@pytest.mark.parametrize("host", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"cpu_shares": 2}, {"cpu": {"shares": 2}}),
        ({"cpu_period_us": 100000, "cpu_quota_us": -1}, {"cpu": {"period": 100000, "quota": -1}}),
        ({"cpuset_cpus": "0-1", "cpuset_mems": "0"}, {"cpu": {"cpus": "0-1", "mems": "0"}}),
        ({"memory_limit_bytes": 100}, {"memory": {"limit": 100, "swap": 100}}),
        (
            {"memory_limit_bytes": 100, "memory_swap_limit_bytes": 150},
            {"memory": {"limit": 100, "swap": 150}},
        ),
        ({"memory_limit_bytes": 100, "memory_swap_limit_bytes": -1}, {"memory": {"limit": 100, "swap": -1}}),
        (
            {"hugepage_limits": (HugepageLimit("2MB", 0), HugepageLimit("1GB", 0))},
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
        ),
    ],
)
def test_each_field(host: HostView, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert linux_resources(Resources(**fields), host) == expected


def test_unified_is_for_version_2() -> None:
    resources = Resources(unified={"memory.high": "1000"})
    assert linux_resources(resources, V2) == {"unified": {"memory.high": "1000"}}
    with pytest.raises(BadContainer, match=r"memory\.high"):
        linux_resources(resources, V1)


def test_no_swap_key_where_swap_is_not_counted() -> None:
    host = replace(V1, swap_accounting=False)
    assert linux_resources(Resources(memory_limit_bytes=5), host) == {"memory": {"limit": 5}}


def test_pids_limit_also_without_resources() -> None:
    assert linux_resources(None, V1, pids_limit=9) == {"pids": {"limit": 9}}
    assert linux_resources(None, V1) == {}


@pytest.mark.parametrize(
    "resources",
    [
        Resources(cpu_shares=-1),
        Resources(cpu_period_us=-1),
        Resources(memory_limit_bytes=10, memory_swap_limit_bytes=5),
        Resources(hugepage_limits=(HugepageLimit("1GB", 1),)),
        Resources(unified={"../x.y": "1"}),
        Resources(unified={"x": "1"}),
    ],
)
def test_contradictions_are_refused(resources: Resources) -> None:
    with pytest.raises(BadContainer):
        linux_resources(resources, V2)


@pytest.mark.parametrize(
    ("wanted", "floor", "expected"), [(-998, -1000, -998), (-998, 0, 0), (1000, 0, 1000)]
)
def test_oom_score(wanted: int, floor: int, expected: int) -> None:
    assert oom_score_adj(wanted, replace(V1, oom_score_adj_floor=floor)) == expected


@pytest.mark.parametrize("wanted", [-1001, 1001])
def test_oom_score_out_of_range(wanted: int) -> None:
    with pytest.raises(BadContainer, match=str(wanted)):
        oom_score_adj(wanted, V1)


@pytest.mark.parametrize("text", ["0", "0-3", "0,2-4,7", "127"])
def test_lists_of_processors(text: str) -> None:
    check_list("cpuset_cpus", text)


@pytest.mark.parametrize(
    "text", [" ", "0,", "-1", "0-", "%s%n", "0\n", "a", "0,1;2", "1" * 7, "0," * 3000 + "0", "\u0661"]
)
def test_what_is_no_list_of_processors(text: str) -> None:
    with pytest.raises(BadContainer, match="cpuset_cpus"):
        linux_resources(Resources(cpuset_cpus=text), V1)
