"""What ``podwright check`` says of the records; single odd ones are tried in test_readback.py."""

from pathlib import Path

from cri.cli.examine.findings import Level
from cri.cli.examine.records import records


def test_a_node_without_records_has_nothing_to_say(tmp_path: Path) -> None:
    assert list(records(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    (finding,) = records(tmp_path)
    assert finding.level is Level.WARNING
    assert "records.sqlite" in finding.text
    assert finding.way_out
