from pathlib import Path

import pytest

from cri.cgroups.driver import BadCgroupParent
from cri.cgroups.units import DESCRIPTION, UnitsDriver
from host.cgroup_limits import LimitRefused, Limits
from host.cgroups import Hierarchy, Tree
from tests.unit.cri.systemd.fake import FakeUnits, Unit

SCOPE = "podwright-1.scope"
PATH = f"/pods.slice/{SCOPE}"


@pytest.fixture
def hierarchy(tmp_path: Path) -> Hierarchy:
    """Version 2, of ordinary files."""
    controllers = frozenset({"cpu", "memory", "cpuset", "pids"})
    return Hierarchy((Tree(tmp_path, controllers, v2=True),))


@pytest.fixture
def units() -> FakeUnits:
    return FakeUnits()


@pytest.fixture
def driver(hierarchy: Hierarchy, units: FakeUnits) -> UnitsDriver:
    return UnitsDriver(hierarchy, units)


def make(hierarchy: Hierarchy, path: str, **files: str) -> Path:
    """A cgroup with files, named with _ for each dot."""
    (directory,) = hierarchy.directories(path)
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return directory


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("", "/podwright.slice"),
        ("/", "/podwright.slice"),
        ("/test.slice", "/test.slice"),
        ("kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"),
        ("/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"),
    ],
)
def test_the_parent_is_a_slice_by_name_or_path(driver: UnitsDriver, asked: str, path: str) -> None:
    assert driver.parent(asked) == path


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("/kubepods/pod1", "no systemd slice"),
        ("/kubepods.slice/x.scope", "no systemd slice"),
        ("a--b.slice", "no systemd slice"),
        ("-.slice", "no systemd slice"),
        ("/elsewhere/a-b.slice", "the slice a-b.slice lies at /a.slice/a-b.slice"),
        ("/a/../b.slice", "lies at /b.slice"),
    ],
)
def test_other_parents_are_refused(driver: UnitsDriver, asked: str, words: str) -> None:
    with pytest.raises(BadCgroupParent, match=rf"linux\.cgroup_parent .*{words}"):
        driver.parent(asked)


async def test_missing_slices_are_made_and_given_back(driver: UnitsDriver, units: FakeUnits) -> None:
    await driver.prepare("/a.slice/a-b.slice")
    assert {name: one.properties["Description"] for name, one in units.loaded.items()} == {
        "a.slice": DESCRIPTION,
        "a-b.slice": DESCRIPTION,
    }
    await driver.retire("/a.slice/a-b.slice", lambda: False)
    assert units.loaded == {}


async def test_a_slice_that_is_there_costs_no_call(
    driver: UnitsDriver, units: FakeUnits, hierarchy: Hierarchy
) -> None:
    make(hierarchy, "/kubepods.slice")
    await driver.prepare("/kubepods.slice")
    assert units.calls == []


async def test_slices_of_others_stay(driver: UnitsDriver, units: FakeUnits) -> None:
    units.loaded["kubepods.slice"] = Unit({"Description": "libcontainer container kubepods.slice"})
    await driver.prepare("/kubepods.slice/kubepods-pod1.slice")
    await driver.retire("/kubepods.slice/kubepods-pod1.slice", lambda: False)
    assert list(units.loaded) == ["kubepods.slice"]


async def test_pods_of_the_other_driver_are_no_units(driver: UnitsDriver, units: FakeUnits) -> None:
    await driver.retire("/kubepods/pod1", lambda: False)
    await driver.remove("/kubepods/pod1/podwright-1")
    assert units.calls == []


async def test_a_container_that_has_no_scope_has_no_limits_to_keep(
    driver: UnitsDriver, units: FakeUnits
) -> None:
    await driver.keep(PATH, Limits(pids=1))
    assert units.calls == []


async def test_a_slice_in_use_stays(driver: UnitsDriver, units: FakeUnits, hierarchy: Hierarchy) -> None:
    await driver.prepare("/a.slice")
    await driver.retire("/a.slice", lambda: True)
    assert list(units.loaded) == ["a.slice"]
    make(hierarchy, f"/a.slice/{SCOPE}")
    await driver.retire("/a.slice", lambda: False)
    assert list(units.loaded) == ["a.slice"]


async def test_limits_are_told_to_systemd_too(
    driver: UnitsDriver, units: FakeUnits, hierarchy: Hierarchy
) -> None:
    units.loaded[SCOPE] = Unit({}, [1])
    directory = make(hierarchy, PATH, memory_max="max\n", memory_swap_max="max\n", memory_high="max\n")
    limits = Limits(memory_bytes=4096, memory_swap_bytes=4096, unified={"memory.high": "2048"})
    await driver.apply(PATH, limits)
    assert units.loaded[SCOPE].properties == {"MemoryMax": 4096, "MemorySwapMax": 0, "MemoryHigh": 2048}
    assert (directory / "memory.max").read_text() == "4096"


async def test_what_systemd_overwrites_is_brought_back(
    driver: UnitsDriver, units: FakeUnits, hierarchy: Hierarchy
) -> None:
    directory = make(hierarchy, PATH, memory_oom_group="1\n", cpu_max="50500 100000\n", cpu_weight="1\n")
    units.loaded[SCOPE] = Unit({}, [1])

    def overwrite() -> None:
        (directory / "cpu.max").write_text("51000 100000\n")
        (directory / "memory.oom.group").write_text("0\n")

    units.when_set = overwrite
    await driver.apply(PATH, Limits(cpu_shares=1024))
    assert (directory / "cpu.max").read_text() == "50500 100000"
    assert (directory / "memory.oom.group").read_text() == "1"
    assert (directory / "cpu.weight").read_text() == "100"


async def test_what_the_kernel_refuses_is_not_told(driver: UnitsDriver, units: FakeUnits) -> None:
    units.loaded[SCOPE] = Unit({}, [1])
    with pytest.raises(LimitRefused):
        await driver.apply(PATH, Limits(unified={"../x": "1"}))
    assert units.loaded[SCOPE].properties == {}


async def test_a_cgroup_that_is_no_unit_has_files_only(
    driver: UnitsDriver, units: FakeUnits, hierarchy: Hierarchy
) -> None:
    directory = make(hierarchy, "/kubepods/pod1", pids_max="max\n")
    await driver.apply("/kubepods/pod1", Limits(pids=5))
    assert (directory / "pids.max").read_text() == "5"
    assert units.calls == []


async def test_a_scope_that_failed_is_forgotten(driver: UnitsDriver, units: FakeUnits) -> None:
    units.failed.add(SCOPE)
    await driver.remove(PATH)
    assert units.failed == set()
    await driver.remove(PATH)  # again, as undo steps may be


async def test_a_scope_that_stays_is_stopped(
    driver: UnitsDriver, units: FakeUnits, hierarchy: Hierarchy
) -> None:
    units.loaded[SCOPE] = Unit({}, [])
    directory = make(hierarchy, PATH)
    await driver.remove(PATH)
    assert ("stop", SCOPE) in units.calls
    assert not directory.exists()
