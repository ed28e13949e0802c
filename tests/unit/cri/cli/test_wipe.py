"""``podwright wipe``: nothing by itself, and nothing under a daemon or pods."""

import fcntl
from pathlib import Path

import pytest

from cri.cli import main
from cri.cli.wipe import NotIdle, _idle


def test_without_force_it_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wipe", "--config", "/dev/null"]) == 0
    assert "Nothing need be wiped" in capsys.readouterr().out


def test_a_node_that_was_never_used_is_idle(tmp_path: Path) -> None:
    with _idle(tmp_path):
        pass


def test_a_daemon_keeps_its_images(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotIdle, match="stop it first"), _idle(tmp_path):
            pass


@pytest.mark.parametrize("kind", ["sandboxes", "containers"])
def test_pods_without_a_daemon_keep_them_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / kind / "x").mkdir(parents=True)
    with pytest.raises(NotIdle, match="1 pods and containers are there"), _idle(tmp_path):
        pass


def test_no_daemon_starts_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with _idle(tmp_path), (tmp_path / "lock").open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
