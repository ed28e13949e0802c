from pathlib import Path

import pytest

from cri.cgroups.choose import NoSystemdDriver, choose, is_systemd
from host.cgroups import Hierarchy, Tree

V1 = Hierarchy((Tree(Path("/sys/fs/cgroup/memory"), frozenset({"memory"})),))
V2 = Hierarchy((Tree(Path("/sys/fs/cgroup"), frozenset({"memory"}), v2=True),))
HYBRID = Hierarchy((*V1.trees, *V2.trees))


@pytest.mark.parametrize(
    ("manager", "booted", "hierarchy", "expected"),
    [
        ("auto", True, V2, True),
        ("auto", True, V1, False),
        ("auto", True, HYBRID, False),
        ("auto", False, V2, False),
        ("systemd", True, V2, True),
        ("cgroupfs", True, V2, False),
        ("cgroupfs", False, V1, False),
    ],
)
def test_systemd_where_it_is_asked_for_or_can_be(
    tmp_path: Path, manager: str, booted: bool, hierarchy: Hierarchy, expected: bool
) -> None:
    assert is_systemd(manager, hierarchy, tmp_path if booted else tmp_path / "none") == expected


@pytest.mark.parametrize(
    ("booted", "hierarchy", "words"),
    [(False, V2, "systemd does not run this machine"), (True, HYBRID, "not cgroup version 2 alone")],
)
def test_systemd_that_cannot_be_is_an_error_with_the_way_out(
    tmp_path: Path, booted: bool, hierarchy: Hierarchy, words: str
) -> None:
    with pytest.raises(NoSystemdDriver, match=rf'cgroup_manager is "systemd", but .*{words}.* "cgroupfs"'):
        is_systemd("systemd", hierarchy, tmp_path if booted else tmp_path / "none")


async def test_a_machine_without_systemd_loads_no_bus() -> None:
    driver = await choose("cgroupfs", V2)
    assert driver.name == "cgroupfs"


async def test_a_bus_that_does_not_answer_is_an_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(NoSystemdDriver, match=rf'no system bus at .*{tmp_path}/none.* set .* "cgroupfs"'):
        await choose("auto", V2, tmp_path)
