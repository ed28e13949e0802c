"""The freezer's two forms, over files that answer as the kernel does."""

from pathlib import Path

import pytest

from host.cgroup_freezer import Freezer, WillNotFreeze


@pytest.mark.parametrize(
    ("name", "v2", "text", "frozen"),
    [
        ("freezer.state", False, "THAWED\n", False),
        ("freezer.state", False, "FREEZING\n", True),
        ("freezer.state", False, "FROZEN\n", True),
        ("cgroup.freeze", True, "0\n", False),
        ("cgroup.freeze", True, "1\n", True),
    ],
)
def test_what_the_kernel_says_is_understood(
    tmp_path: Path, name: str, v2: bool, text: str, frozen: bool
) -> None:
    (tmp_path / name).write_text(text)
    assert Freezer(tmp_path, v2).is_frozen() is frozen


@pytest.mark.parametrize("v2", [False, True])
def test_a_cgroup_that_is_gone_is_not_frozen_and_may_be_thawed(tmp_path: Path, v2: bool) -> None:
    gone = Freezer(tmp_path / "gone", v2)
    assert not gone.is_frozen()
    gone.thaw()
    with pytest.raises(FileNotFoundError):
        gone.freeze(1)


def test_a_machine_without_a_freezer_says_so() -> None:
    assert not Freezer(None, v2=False).is_frozen()
    with pytest.raises(WillNotFreeze, match="no cgroup freezer"):
        Freezer(None, v2=False).freeze(1)


def test_frozen_is_what_stands_still(tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    Freezer(tmp_path, v2=True).freeze(1)
    assert (tmp_path / "cgroup.freeze").read_text() == "1"


def test_what_does_not_stand_still_goes_on(tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(WillNotFreeze, match="uninterruptible sleep"):
        Freezer(tmp_path, v2=True).freeze(0)
    assert (tmp_path / "cgroup.freeze").read_text() == "0"
