from typing import Any

import pytest

from host.unit_properties import INFINITY
from oci.run.cgroups.devices import DeviceList, Rule
from oci.run.cgroups.plan import plan
from oci.run.cgroups.properties import driver_name, of_annotations, of_devices, of_unit, of_writes
from oci.run.cgroups.types import BadResources


def limits(resources: dict[str, Any], version: int = 2, systemd: int = 252) -> list[tuple[str, object]]:
    writes = plan(resources, lambda _: version, lambda *_: None)
    return [(name, value) for name, _, value in of_writes(writes, systemd=systemd, version=version)]


def test_a_scope_is_delegated_and_holds_its_first_process() -> None:
    found = {name: value for name, _, value in of_unit("x.scope", "a.slice", "id", 7, version=2)}
    assert found == {
        "Description": "Container id",
        "DefaultDependencies": False,
        "Slice": "a.slice",
        "Delegate": True,
        "PIDs": [7],
        "CPUAccounting": True,
        "MemoryAccounting": True,
        "TasksAccounting": True,
        "IOAccounting": True,
    }


def test_a_slice_has_no_process_of_its_own() -> None:
    found = {name: value for name, _, value in of_unit("a-b.slice", "a.slice", "id", None, version=1)}
    assert found["Wants"] == ["a.slice"]
    assert found["BlockIOAccounting"] is True
    assert not found.keys() & {"PIDs", "Delegate", "Slice", "IOAccounting"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 4096, "swap": 8192}}, [("MemorySwapMax", 4096), ("MemoryMax", 4096)]),
        ({"memory": {"limit": -1}}, [("MemorySwapMax", INFINITY), ("MemoryMax", INFINITY)]),
        ({"memory": {"reservation": 5}}, [("MemoryLow", 5)]),
        ({"cpu": {"shares": 1024}}, [("CPUWeight", 100)]),
        ({"cpu": {"idle": 1, "shares": 1024}}, [("CPUWeight", 0)]),
        (
            {"cpu": {"quota": 50500}},
            [("CPUQuotaPerSecUSec", 510000), ("CPUQuotaPeriodUSec", 100000)],
        ),
        ({"cpu": {"quota": -1}}, [("CPUQuotaPerSecUSec", INFINITY)]),
        (
            {"cpu": {"cpus": "0-2,8", "mems": "0"}},
            [("AllowedCPUs", b"\x07\x01"), ("AllowedMemoryNodes", b"\x01")],
        ),
        ({"pids": {"limit": 0}}, [("TasksMax", 1)]),
        ({"pids": {"limit": -1}}, [("TasksMax", INFINITY)]),
        ({"blockIO": {"weight": 1000}}, [("IOWeight", 10000)]),
        ({"unified": {"memory.high": "5", "memory.oom.group": "1"}}, [("MemoryHigh", 5)]),
    ],
)
def test_limits_on_version_2(resources: dict[str, Any], expected: list[tuple[str, object]]) -> None:
    assert limits(resources) == expected


def test_what_newer_versions_know() -> None:
    resources = {"cpu": {"idle": 1}, "unified": {"memory.oom.group": "0"}}
    assert limits(resources, systemd=251) == []
    assert limits(resources, systemd=253) == [("CPUWeight", 0), ("OOMPolicy", "continue")]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 4096, "swap": 8192}}, [("MemoryLimit", 4096)]),
        ({"memory": {"limit": -1}}, [("MemoryLimit", INFINITY)]),
        ({"cpu": {"shares": 5}, "pids": {"limit": -1}}, [("CPUShares", 5), ("TasksMax", INFINITY)]),
        (
            {"cpu": {"quota": 5000, "period": 50000}},
            [("CPUQuotaPerSecUSec", 100000), ("CPUQuotaPeriodUSec", 50000)],
        ),
    ],
)
def test_limits_on_version_1(resources: dict[str, Any], expected: list[tuple[str, object]]) -> None:
    assert limits(resources, version=1) == expected


DEVICES = """Character devices:
  1 mem
136 pts

Block devices:
  8 sd
"""


def test_devices_for_version_1() -> None:
    rules: list[dict[str, Any]] = [
        {"allow": False},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
        {"allow": True, "type": "b", "major": 9, "access": "r"},
    ]
    devices = DeviceList.of(map(Rule.parse, rules))
    policy, reset, (_, _, allowed) = of_devices(
        devices, lambda kind, major: driver_name(DEVICES, kind, major)
    )
    assert (policy, reset) == (("DevicePolicy", "s", "strict"), ("DeviceAllow", "a(ss)", []))
    assert isinstance(allowed, list)
    assert allowed[:4] == [("block-sd", "r"), ("char-*", "m"), ("block-*", "m"), ("/dev/char/1:3", "rwm")]
    assert ("char-pts", "rwm") in allowed
    assert not [name for name, _ in allowed if "9" in name and name.startswith("block")]  # has no driver
    every = DeviceList.of([Rule.parse({"allow": True})])
    assert of_devices(every, lambda *_: None)[0] == ("DevicePolicy", "s", "auto")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("CollectMode", "'inactive-or-failed'", ("CollectMode", "s", "inactive-or-failed")),
        ("SendSIGHUP", "true", ("SendSIGHUP", "b", True)),
        ("TimeoutStopSec", "uint32 5", ("TimeoutStopUSec", "t", 5_000_000)),
        ("RuntimeMaxSec", "1.5", ("RuntimeMaxUSec", "t", 1_500_000)),
        ("TimeoutStopUSec", "uint64 5", ("TimeoutStopUSec", "t", 5)),
        ("TasksMax", "-5", ("TasksMax", "i", -5)),
        ("After", "['a.service', \"b.service\"]", ("After", "as", ["a.service", "b.service"])),
    ],
)
def test_annotations_as_properties(name: str, text: str, expected: tuple[str, str, object]) -> None:
    found = of_annotations({f"org.systemd.property.{name}": text, "another": "x"})
    assert found == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [("Tasks Max", "1"), ("", "1"), ("X1", "1"), ("After", "[1, 2]"), ("A", "whatever"), ("A", "")],
)
def test_annotations_that_are_no_properties(name: str, text: str) -> None:
    with pytest.raises(BadResources, match="annotation"):
        of_annotations({f"org.systemd.property.{name}": text})
