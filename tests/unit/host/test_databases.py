"""Which errors of SQLite say that a file is damaged."""

import sqlite3
from pathlib import Path

import pytest

from host.databases import is_anothers, is_damage

# Of what is in the file; all other results are of the moment, or of the statement.
DAMAGE = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_ERROR"}
ANOTHERS = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}
RESULTS = {
    *(
        "ABORT",
        "AUTH",
        "BUSY",
        "CANTOPEN",
        "CONSTRAINT",
        "CORRUPT",
        "EMPTY",
        "ERROR",
        "FORMAT",
        "FULL",
        "INTERNAL",
    ),
    *("INTERRUPT", "IOERR", "LOCKED", "MISMATCH", "MISUSE", "NOLFS", "NOMEM", "NOTADB", "NOTFOUND", "PERM"),
    *("PROTOCOL", "RANGE", "READONLY", "SCHEMA", "TOOBIG"),
}


def failed(code: int) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("of a test")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("name", sorted(f"SQLITE_{name}" for name in RESULTS))
@pytest.mark.parametrize("extended", [0, 1 << 8, 5 << 8])
def test_only_what_the_content_has_caused_is_damage(name: str, extended: int) -> None:
    error = failed(getattr(sqlite3, name) | extended)
    assert is_damage(error) is (name in DAMAGE)
    assert is_anothers(error) is (name in ANOTHERS)


def test_who_has_looked_inside_says_so_without_a_code() -> None:
    assert is_damage(sqlite3.DatabaseError("row 1 missing from index"))
    assert not is_anothers(sqlite3.DatabaseError("row 1 missing from index"))


def test_bytes_that_are_no_database_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        sqlite3.connect(path).execute("PRAGMA journal_mode=WAL")
    assert is_damage(caught.value)


def test_one_that_is_held_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.DatabaseError) as caught:
        sqlite3.connect(path, timeout=0).execute("SELECT * FROM sqlite_master")
    assert (is_damage(caught.value), is_anothers(caught.value)) == (False, True)
    holder.close()
