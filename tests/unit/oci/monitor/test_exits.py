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
