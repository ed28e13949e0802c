"""Volatile state of an earlier boot is void, that of this one is kept."""

from pathlib import Path

import pytest

from cri.boot import forget_other_boots


@pytest.fixture
def boot_id(tmp_path: Path) -> Path:
    path = tmp_path / "boot_id_of_the_kernel"
    path.write_text("one\n")
    return path


@pytest.fixture
def runroot(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    (root / "sandboxes" / "1").mkdir(parents=True)
    (root / "records.sqlite").touch()
    (root / "lock").touch()
    return root


def test_state_without_a_mark_is_kept(runroot: Path, boot_id: Path) -> None:
    """It is of this boot, or of a version that set no mark: then the monitor's answers decide."""
    assert not forget_other_boots(runroot, boot_id)
    assert (runroot / "records.sqlite").exists()


def test_state_of_this_boot_is_kept(runroot: Path, boot_id: Path) -> None:
    forget_other_boots(runroot, boot_id)
    assert not forget_other_boots(runroot, boot_id)
    assert (runroot / "sandboxes" / "1").is_dir()


def test_state_of_another_boot_goes_but_for_the_lock(runroot: Path, boot_id: Path) -> None:
    forget_other_boots(runroot, boot_id)
    boot_id.write_text("two\n")
    assert forget_other_boots(runroot, boot_id)
    assert sorted(path.name for path in runroot.iterdir()) == ["boot_id", "lock"]
    assert not forget_other_boots(runroot, boot_id)
