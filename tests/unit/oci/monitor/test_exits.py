import errno
import os
from pathlib import Path

import pytest

from oci.monitor.exits import ExitFiles
from oci.monitor.protocol import Record

RECORD = Record("c", "crun", 7, 99, "exited", "/log", 9, 0, 0, 10.0, False, False, 1, 2, 3, 137, True)


def test_records_come_back_after_a_restart(tmp_path: Path) -> None:
    ExitFiles(str(tmp_path / "exits")).write(RECORD)
    successor = ExitFiles(str(tmp_path / "exits"))
    assert successor.read_all() == [RECORD]
    successor.remove("c")
    successor.remove("c")
    assert successor.read_all() == []


def test_rubbish_is_passed_over_and_half_written_files_are_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ExitFiles(str(tmp_path))
    files.write(RECORD)
    (tmp_path / "broken").write_text("{")
    (tmp_path / "half.new").write_text("{}")
    assert files.read_all() == [RECORD]
    assert not (tmp_path / "half.new").exists()
    assert "broken" in capsys.readouterr().err


def test_what_cannot_be_written_waits_and_is_written_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ExitFiles(str(tmp_path))
    rename = os.rename

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    files.write(RECORD)
    files.write(RECORD._replace(id="gone"))
    files.remove("gone")
    assert "No space left" in capsys.readouterr().err
    assert not files.write_waiting()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "rename", rename)
    assert files.write_waiting()
    assert files.read_all() == [RECORD]


def test_a_fifo_or_link_in_a_records_place_does_not_hold_up_the_others(tmp_path: Path) -> None:
    files = ExitFiles(str(tmp_path / "exits"))
    files.write(RECORD)
    os.mkfifo(tmp_path / "exits/fifo")
    (tmp_path / "exits/link").symlink_to("/dev/zero")
    (tmp_path / "exits/directory.new").mkdir()
    assert files.read_all() == [RECORD]
