"""Volatile records on disk: what the daemon must know after it was killed.

    <runroot>/records.sqlite   table records(kind, id, name, config, state)

``config`` is the request's protobuf message, ``state`` a JSON object; the two record types
own their meaning. The file lies on tmpfs, so a write costs some 50 microseconds and may be
made on the event loop. A reboot empties it, as it should: no process outlives that either.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.errors import Internal

SCHEMA_VERSION = 1


class RecordsUnreadable(Internal):
    """The record file is damaged or of another version."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record as stored."""

    id: str
    name: str
    config: bytes
    state: str


class Records:
    """The record file; one writer, the daemon."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            RecordsUnreadable: it is no database, or of a schema that this version does not know.
        """
        try:
            with contextlib.ExitStack() as undo:
                self._db = sqlite3.connect(path, isolation_level=None)
                undo.callback(self._db.close)
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._prepare(path)
                undo.pop_all()
        except sqlite3.DatabaseError as error:
            raise RecordsUnreadable(
                f"records {path}: {error}; move the file away after stopping all pods"
            ) from error

    def _prepare(self, path: Path) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise RecordsUnreadable(
                f"records {path} have schema version {version}, this Podwright reads {SCHEMA_VERSION}: "
                "start the version that wrote them and remove all pods, or reboot"
            )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS records (kind TEXT, id TEXT, name TEXT, config BLOB, state TEXT,"
            " PRIMARY KEY (kind, id)) WITHOUT ROWID"
        )
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def insert(self, kind: str, row: Row) -> None:
        """Add a record, whose id must be new."""
        self._db.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?)", (kind, row.id, row.name, row.config, row.state)
        )

    def update(self, kind: str, row: Row) -> None:
        """Replace a record that exists; one that does not is not brought back."""
        self._db.execute(
            "UPDATE records SET name = ?, config = ?, state = ? WHERE kind = ? AND id = ?",
            (row.name, row.config, row.state, kind, row.id),
        )

    def delete(self, kind: str, identifier: str) -> None:
        self._db.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, identifier))

    def rows(self, kind: str) -> Iterator[Row]:
        cursor = self._db.execute("SELECT id, name, config, state FROM records WHERE kind = ?", (kind,))
        for identifier, name, config, state in cursor.fetchall():
            yield Row(identifier, name, config, state)

    def close(self) -> None:
        self._db.close()
