"""Volatile records on disk: what the daemon must know after it was killed.

    <runroot>/records.sqlite   table records(kind, id, name, config, state)

``config`` is the request's protobuf message, ``state`` a JSON object; the two record types
own their meaning. The file lies on tmpfs, so a write costs some 50 microseconds and may be
made on the event loop. A reboot empties it, as it should: no process outlives that either.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from api.errors import Internal

SCHEMA_VERSION = 1

T = TypeVar("T")


class RecordsUnreadable(Internal):
    """The record file is damaged or of another version."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record as stored."""

    id: str
    name: str
    config: bytes
    state: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that nothing can be made of."""

    id: str
    why: str


def rows(database: sqlite3.Connection, kind: str) -> Iterator[Row]:
    """Text is fetched as bytes: sqlite3 would fail over the whole query for one that is no UTF-8."""
    columns = "CAST(id AS BLOB), CAST(name AS BLOB), CAST(config AS BLOB), CAST(state AS BLOB)"
    cursor = database.execute(f"SELECT {columns} FROM records WHERE kind = ?", (kind,))
    for row in cursor.fetchall():
        identifier, name, config, state = (value or b"" for value in row)
        yield Row(os.fsdecode(identifier), os.fsdecode(name), config, os.fsdecode(state))


def read(
    database: sqlite3.Connection, kind: str, parse: Callable[[Row], T]
) -> tuple[list[T], list[Unreadable]]:
    """See Records.read; for a database that is not ours to write too."""
    parsed, unreadable = [], []
    for row in rows(database, kind):
        try:
            row.id.encode(), row.name.encode(), row.state.encode()
            parsed.append(parse(row))
        except Exception as error:  # a damaged row may raise anything
            unreadable.append(Unreadable(row.id, f"{type(error).__name__}: {error}"))
    return parsed, unreadable


def require_types(state: Mapping[str, object], **types: type) -> None:
    """
    Raises:
        TypeError: a value is not of the type that is named for its key, or missing.
    """
    for name, wanted in types.items():
        if not isinstance(state.get(name), wanted) or isinstance(state[name], bool) != (wanted is bool):
            raise TypeError(f"{name} is {state.get(name)!r}, not {wanted.__name__}")


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
        self._db.execute(
            "DELETE FROM records WHERE kind = ? AND id = CAST(? AS TEXT)", (kind, os.fsencode(identifier))
        )

    def rows(self, kind: str) -> Iterator[Row]:
        """All of a kind; ids and texts that are no UTF-8 come with surrogates in their place."""
        yield from rows(self._db, kind)

    def read(self, kind: str, parse: Callable[[Row], T]) -> tuple[list[T], list[Unreadable]]:
        """What ``parse`` makes of the rows, and the rows of which it makes nothing but errors."""
        return read(self._db, kind, parse)

    def close(self) -> None:
        self._db.close()
