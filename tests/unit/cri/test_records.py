"""The record file: what was put is there after reopening, and a foreign file is refused."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

import cri.records
from cri.records import Records, RecordsTooNew, RecordsUnreadable, Row
from host.reserve import Reserve

T = TypeVar("T")


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
    with pytest.raises(RecordsTooNew, match="schema version 7"):
        Records(path)


def test_a_file_that_is_no_database_is_set_aside_and_named(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"no database at all" * 100)
    records = Records(path)
    [aside] = tmp_path.glob("damaged-*-records.sqlite")
    assert records.damaged
    assert str(aside) in records.problem
    assert aside.read_bytes() == b"no database at all" * 100
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    assert [row.id for row in records.rows("sandbox")] == ["1"]
    records.close()
    again = Records(path)
    assert again.damaged, "as long as the file is there, nothing is concluded from a missing row"
    again.close()
    aside.unlink()
    again = Records(path)
    assert not again.damaged
    again.close()


def test_rows_beside_damaged_pages_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    records = Records(path)
    for number in range(2000):
        records.insert("sandbox", Row(f"{number:04}", f"name {number}", b"small", "{}"))
    records.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 & -4096
    data[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(data)
    again = Records(path)
    saved = [row.id for row in again.rows("sandbox")]
    assert again.damaged
    assert {"0000", "1999"} <= set(saved)
    assert 1000 < len(saved) < 2000
    again.close()


def test_text_that_is_not_utf8_is_one_rows_matter(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    records.insert("sandbox", Row("2", "two", b"", "{}"))
    records.close()
    database = sqlite3.connect(tmp_path / "records.sqlite")
    database.execute("UPDATE records SET name = CAST(x'ff41' AS TEXT) WHERE id = '1'")
    database.commit()
    database.close()
    again = Records(tmp_path / "records.sqlite")
    assert [row.name for row in again.rows("sandbox")] == ["\udcffA", "two"]
    assert not again.damaged
    again.close()


class Full(Reserve):
    """A reserve that counts how often it was asked for."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, 0)
        self.spent = 0

    def spend(self, work: Callable[[], T]) -> T:
        self.spent += 1
        return super().spend(work)


def test_what_begins_something_does_not_spend_the_reserve(tmp_path: Path) -> None:
    reserve = Full(tmp_path)
    records = Records(tmp_path / "records.sqlite", reserve)
    before = reserve.spent
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    assert reserve.spent == before
    records.update("sandbox", Row("1", "one", b"", "{}"))
    records.delete("sandbox", "1")
    assert reserve.spent == before + 2
    records.close()


def test_where_the_file_cannot_be_made_records_live_in_memory_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "not there yet" / "records.sqlite"
    records = Records(path)
    assert "kept in memory" in records.problem
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    assert [row.id for row in records.rows("sandbox")] == ["1"]
    path.parent.mkdir()
    records.insert("sandbox", Row("2", "two", b"", "{}"))
    assert records.problem == ""
    records.close()
    again = Records(path)
    assert [row.id for row in again.rows("sandbox")] == ["1", "2"]
    again.close()


def test_a_file_that_another_process_holds_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _with_one_row(tmp_path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(cri.records, "_BUSY_TIMEOUT_S", 0.05)
    with pytest.raises(RecordsUnreadable, match="another process has held it"):
        Records(path)
    holder.close()
    assert _rows_of(path) == ["1"]
    assert [*tmp_path.glob("damaged-*")] == []


OF_THIS_MOMENT = [
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM),
    *(sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_SCHEMA),
]


@pytest.mark.parametrize("statement", ["PRAGMA journal_mode", "PRAGMA user_version", "PRAGMA quick_check"])
@pytest.mark.parametrize("code", OF_THIS_MOMENT)
def test_what_is_wrong_with_the_moment_costs_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, statement: str
) -> None:
    """Opening fails in the midst; whatever is served meanwhile, the rows are there afterwards."""
    path = _with_one_row(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", _failing(statement, code))
        with contextlib.suppress(RecordsUnreadable):
            records = Records(path)
            assert [row.id for row in records.rows("sandbox")] == ["1"]
            records.close()
    assert _rows_of(path) == ["1"]
    assert [*tmp_path.glob("damaged-*")] == []


def test_rows_that_nobody_could_read_are_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _with_one_row(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", _failing("PRAGMA", sqlite3.SQLITE_IOERR))
        patched.setattr(cri.records, "_read_only", _failing("", sqlite3.SQLITE_IOERR))
        with pytest.raises(RecordsUnreadable, match="see to its disk"):
            Records(path)
    assert _rows_of(path) == ["1"]


def _with_one_row(directory: Path) -> Path:
    path = directory / "records.sqlite"
    records = Records(path)
    records.insert("sandbox", Row("1", "one", b"", "{}"))
    records.close()
    return path


def _rows_of(path: Path) -> list[str]:
    records = Records(path)
    try:
        return [row.id for row in records.rows("sandbox")]
    finally:
        records.close()


def _failing(statement: str, code: int) -> Callable[..., sqlite3.Connection]:
    """Connections that fail at statements that begin so."""
    connect = sqlite3.dbapi2.connect

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.startswith(statement) and self.path != ":memory:":
                raise failed(code)
            return super().execute(sql, *arguments)

        def backup(self, *arguments: Any, **more: Any) -> None:
            if not statement:
                raise failed(code)
            super().backup(*arguments, **more)

        path: object = ""

    def opened(path: object, *arguments: Any, **more: Any) -> sqlite3.Connection:
        connection = connect(str(path), *arguments, factory=Failing, **more)
        assert isinstance(connection, Failing)
        connection.path = path
        return connection

    return opened


def failed(code: int) -> sqlite3.DatabaseError:
    error = sqlite3.OperationalError("of a test")
    error.sqlite_errorcode = code
    return error
