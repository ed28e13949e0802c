"""Volatile records on disk: what the daemon must know after it was killed.

    <runroot>/records.sqlite   table records(kind, id, name, config, state)

``config`` is the request's protobuf message, ``state`` a JSON object; the two record types
own their meaning. The file lies on tmpfs, so a write costs some 50 microseconds and may be
made on the event loop. A reboot empties it, as it should: no process outlives that either.

A full disk stops nothing that frees: blocks for the write-ahead log are had before they are needed,
``update`` and ``delete`` may spend the reserve, ``insert``, which begins something, may not. When not even
opening works the records are kept in memory, ``problem`` says so, and each write tries the file again. A row
or a file that is damaged is no reason not to start: the row is told of and left as it is, the file is set
aside under another name once all that can be read was taken from it. A file that is not damaged and cannot be
read now, for another process holds it or its disk does not answer, is left as it is, and there is no start
without it: lists that are empty for a moment would have every pod made a second time.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from api.errors import FailedPrecondition, Unavailable
from host.databases import is_anothers, is_damage
from host.files import preallocate
from host.reserve import Reserve, is_exhaustion

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
# Pages in the write-ahead log before they go to the file itself, and room for somewhat more of them.
_CHECKPOINT_PAGES = 250
_WAL_BYTES = 2 << 20
# For another process, a backup perhaps, to let go of the file.
_BUSY_TIMEOUT_S = 10.0
_ROW = "INSERT INTO records VALUES (?, ?, ?, ?, ?)"

T = TypeVar("T")


class RecordsTooNew(FailedPrecondition):
    """The record file is of another version."""


class RecordsUnreadable(Unavailable):
    """The record file cannot be read now, which says nothing of what is in it."""


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

    def __init__(self, path: Path, reserve: Reserve | None = None) -> None:
        """Open or make the file.

        Raises:
            RecordsTooNew: it has a schema that this version does not know.
            RecordsUnreadable: another process holds it, or it cannot be read.
        """
        self._path = path
        self._reserve = reserve or Reserve(path.parent, 0)
        # Rows may have been lost, now or since the node was booted: a file was set aside.
        aside = [str(one) for one in path.parent.glob(f"damaged-*-{path.name}")]
        self.damaged = bool(aside)
        self.problem = _lost(aside[0]) if aside else ""
        try:
            self._db = self._reserve.spend(self._open)
        except sqlite3.DatabaseError as error:
            if is_damage(error) or path.is_dir():
                self._db = self._salvaged(error)
            elif is_exhaustion(error):
                self._db = self._in_memory(error)
            else:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> RecordsUnreadable:
        if isinstance(error, sqlite3.Error) and is_anothers(error):
            why = f"another process has held it for {_BUSY_TIMEOUT_S:g} s: end that (fuser -v names it)"
        else:
            why = "the file is left as it is: see to its disk"
        return RecordsUnreadable(f"records {self._path} cannot be read: {error}; {why}, then start again")

    def _open(self) -> sqlite3.Connection:
        with contextlib.ExitStack() as undo:
            db = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            undo.callback(db.close)
            db.text_factory = _text
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            self._prepare(db)
            [(found,)] = db.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                raise sqlite3.DatabaseError(str(found))
            undo.pop_all()
        preallocate(self._path.with_name(self._path.name + "-wal"), _WAL_BYTES)
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise RecordsTooNew(
                f"records {self._path} have schema version {version}, this Podwright reads {SCHEMA_VERSION}: "
                "start the version that wrote them and remove all pods, or reboot"
            )
        db.execute(
            "CREATE TABLE IF NOT EXISTS records (kind TEXT, id TEXT, name TEXT, config BLOB, state TEXT,"
            " PRIMARY KEY (kind, id)) WITHOUT ROWID"
        )
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _in_memory(self, cause: Exception) -> sqlite3.Connection:
        """The rows of a file that cannot be opened for writing, or none if there is none.

        Raises:
            RecordsUnreadable: it is there, and they cannot be had; or some may be in the log beside it, which
                a process that was killed leaves, and with which the file can be opened without room.
        """
        memory = sqlite3.connect(":memory:", isolation_level=None)
        memory.text_factory = _text
        log = self._path.with_name(self._path.name + "-wal")
        if self._path.exists() and self._path.stat().st_size:
            if log.exists() and log.stat().st_size:
                raise self._unreadable(cause) from cause
            try:
                with contextlib.closing(_read_only(self._path)) as stored:
                    stored.backup(memory)
            except sqlite3.DatabaseError as error:
                raise self._unreadable(error) from error
        self.damaged = True  # as far as we know: nothing is concluded from what is not there
        self.problem = f"records {self._path} cannot be written and are kept in memory: {cause}"
        logger.error("%s; make room", self.problem)
        self._prepare(memory)
        return memory

    def _salvaged(self, cause: Exception) -> sqlite3.Connection:
        """A new file with the rows of a damaged one, which is set aside."""
        rows = _readable_rows(self._path)
        aside = self._path.with_name(f"damaged-{time.time_ns()}-{self._path.name}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
        self.damaged = True
        self.problem = _lost(str(aside))
        logger.error("records were damaged: %s; %d are saved; %s", cause, len(rows), self.problem)
        db = self._reserve.spend(self._open)
        _write_rows(db, rows)
        return db

    def insert(self, kind: str, row: Row) -> None:
        """A record of something that is about to be made; its id must be new.

        Raises:
            sqlite3.OperationalError: there is no room for it.
        """
        self._persist()
        self._db.execute(_ROW, (kind, row.id, row.name, row.config, row.state))

    def update(self, kind: str, row: Row) -> None:
        """Replace a record that exists, on the reserve if need be; one that does not is not brought back."""
        statement = "UPDATE records SET name = ?, config = ?, state = ? WHERE kind = ? AND id = ?"
        values = (row.name, row.config, row.state, kind, row.id)
        self._write(lambda: self._db.execute(statement, values))

    def delete(self, kind: str, identifier: str) -> None:
        statement = "DELETE FROM records WHERE kind = ? AND id = CAST(? AS TEXT)"
        self._write(lambda: self._db.execute(statement, (kind, os.fsencode(identifier))))

    def _write(self, work: Callable[[], object]) -> None:
        self._persist()
        self._reserve.spend(work)

    def _persist(self) -> None:
        """From memory to the file, if that is how it is and the file can be written again."""
        if not self.problem or self._db.execute("PRAGMA database_list").fetchone()[2]:
            return
        try:
            db = self._open()
        except sqlite3.DatabaseError:
            return
        try:
            _write_rows(db, self._db.execute("SELECT * FROM records").fetchall())
        except sqlite3.DatabaseError:
            db.close()
            return
        self._db.close()
        self._db, self.problem = db, ""
        logger.info("records are kept in %s again", self._path)

    def rows(self, kind: str) -> Iterator[Row]:
        """All of a kind, of a damaged file those that can be read; ids and texts that are no UTF-8 come with
        surrogates in their place.

        Raises:
            RecordsUnreadable: they cannot be had now.
        """
        try:
            found = list(rows(self._db, kind))
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise self._unreadable(error) from error
            self._db.close()
            self._db = self._salvaged(error)
            found = list(rows(self._db, kind))
        yield from found

    def read(self, kind: str, parse: Callable[[Row], T]) -> tuple[list[T], list[Unreadable]]:
        """What ``parse`` makes of the rows, and the rows of which it makes nothing but errors."""
        list(self.rows(kind))  # a damaged file is set aside first
        return read(self._db, kind, parse)

    def close(self) -> None:
        self._persist()
        self._db.close()


def _lost(aside: str) -> str:
    return (
        f"records were damaged, the file is now {aside}: what has no record any more is left as it is; "
        "remove that file once no container of before is left, or reboot the node"
    )


def _text(data: bytes) -> str:
    """Flipped bytes are one row's, not the query's error."""
    return data.decode(errors="replace")


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _readable_rows(path: Path) -> list[tuple[object, ...]]:
    """What can be read of a damaged file, from both of its ends."""
    found: dict[tuple[object, object], tuple[object, ...]] = {}
    for order in ("ASC", "DESC"):
        with (
            contextlib.suppress(sqlite3.Error, OSError),
            contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db,
        ):
            db.text_factory = _text
            for row in db.execute(f"SELECT * FROM records ORDER BY kind {order}, id {order}"):
                if tuple(map(type, row)) == (str, str, str, bytes, str):
                    found[row[0], row[1]] = row
    return list(found.values())


def _write_rows(db: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    """All of ``rows`` and no others, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("DELETE FROM records")
        db.executemany(_ROW, rows)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
