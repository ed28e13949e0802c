"""The record file: what was put is there after reopening, and a foreign file is refused."""

import sqlite3
from pathlib import Path

import pytest

from cri.records import Records, RecordsUnreadable, Row


def test_rows_survive_reopening(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    records.insert("sandbox", Row("1", "one", b"", '{"phase": "creating"}'))
    records.update("sandbox", Row("1", "one", b"\0config", '{"phase": "ready"}'))
    records.insert("container", Row("1", "same id, other kind", b"", "{}"))
    records.insert("sandbox", Row("2", "two", b"", "{}"))
    records.delete("sandbox", "2")
    records.close()
    again = Records(tmp_path / "records.sqlite")
    assert list(again.rows("sandbox")) == [Row("1", "one", b"\0config", '{"phase": "ready"}')]
    assert [row.name for row in again.rows("container")] == ["same id, other kind"]
    again.close()


def test_an_update_brings_no_removed_record_back(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    records.delete("sandbox", "1")
    records.update("sandbox", Row("1", "one", b"", "{}"))
    assert list(records.rows("sandbox")) == []
    records.close()


def test_an_id_is_inserted_once(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    with pytest.raises(sqlite3.IntegrityError):
        records.insert("sandbox", Row("1", "another", b"", "{}"))
    records.close()


def test_a_record_is_there_for_a_reader_before_close(tmp_path: Path) -> None:
    """A killed daemon closes nothing."""
    records = Records(tmp_path / "records.sqlite")
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    other = Records(tmp_path / "records.sqlite")
    assert [row.id for row in other.rows("sandbox")] == ["1"]
    other.close()
    records.close()


def test_another_schema_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=7")
    database.close()
    with pytest.raises(RecordsUnreadable, match="schema version 7"):
        Records(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(RecordsUnreadable, match=str(path)):
        Records(path)
