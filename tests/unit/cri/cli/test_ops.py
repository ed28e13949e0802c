"""``podwright ops`` without a daemon: one sentence, whatever is in the place of the socket."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cri.cli import main, ops


def nothing(path: Path) -> None:
    pass


def left_by_a_dead_daemon(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def a_file(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            nothing,
            "No such file or directory; start it (systemctl start podwright), or name its configuration",
        ),
        (left_by_a_dead_daemon, "Connection refused; start it"),
        (a_file, "Connection refused; start it"),
    ],
)
def test_nobody_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "socket"
    made(path)
    assert main(["ops", "--config", "/dev/null", "--listen", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"podwright: no daemon answers on {path}: ")
    assert words in line


def test_somebody_else_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "TIMEOUT_S", 0.3)
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        assert main(["ops", "--config", "/dev/null", "--listen", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"whoever listens there says nothing within \d s", line)
