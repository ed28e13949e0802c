"""The catalogue: which images, names, layers and container root file systems there are (SQLite, WAL).

The rows are the truth; a directory that no row names is rubbish. Several processes may have the store
open (the daemon and the command line), so nothing is assumed between two transactions. A row is written
after what it names was synced; losing the last rows in a power cut loses an image, never its integrity,
hence synchronous=NORMAL. What removes layers calls ``sync`` before: a row that comes back with the power
would name what is gone.

On a full disk ``freeing`` may spend the reserve. When there is not even room to open the catalogue it is read
from its file and cannot be written; each transaction tries to open it anew.

A damaged file is set aside by who may (``repair``), and its rows are made again (storage/rebuild.py). What is
not in a catalogue that was lost or begun anew may still be in use: as long as the file <root>/keep-unknown is
there, nothing that no row names is removed. Its lines name what that is.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from api.errors import FailedPrecondition, Internal, ResourceExhausted, Unavailable
from host.databases import is_anothers, is_damage
from host.files import preallocate, write_atomic
from host.reserve import Reserve, is_exhaustion

log = logging.getLogger(__name__)
T = TypeVar("T")

_SHOWN = 8
_BUSY_TIMEOUT_S = 30.0
# The write-ahead log's room, had in advance: it is checkpointed at some 4 MiB, and rows are small.
_WAL_BYTES = 5 << 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY, config BLOB NOT NULL, manifest BLOB NOT NULL, size_bytes INTEGER NOT NULL,
    pulled_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tags (
    name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE
) STRICT;
CREATE TABLE IF NOT EXISTS digests (
    name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE
) STRICT;
CREATE TABLE IF NOT EXISTS image_layers (
    image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE, position INTEGER NOT NULL,
    chain_id TEXT NOT NULL, disk_bytes INTEGER NOT NULL, inodes INTEGER NOT NULL,
    PRIMARY KEY (image_id, position)
) STRICT;
CREATE TABLE IF NOT EXISTS rootfs (container_id TEXT PRIMARY KEY, image_id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS rootfs_layers (
    container_id TEXT NOT NULL REFERENCES rootfs ON DELETE CASCADE, position INTEGER NOT NULL,
    chain_id TEXT NOT NULL, PRIMARY KEY (container_id, position)
) STRICT;
CREATE INDEX IF NOT EXISTS tags_by_image ON tags (image_id);
CREATE INDEX IF NOT EXISTS digests_by_image ON digests (image_id);
CREATE INDEX IF NOT EXISTS image_layers_by_chain ON image_layers (chain_id);
CREATE INDEX IF NOT EXISTS rootfs_layers_by_chain ON rootfs_layers (chain_id);
"""
# The nth makes version n of version n - 1, in one transaction with all that are needed.
_MIGRATIONS = (_SCHEMA,)
SCHEMA_VERSION = len(_MIGRATIONS)
_TABLES = {"images", "tags", "digests", "image_layers", "rootfs", "rootfs_layers"}


class CatalogueTooNew(FailedPrecondition):
    """A later version of Podwright wrote the catalogue."""


class CatalogueBroken(Internal):
    """The catalogue is no database, or a damaged one."""


class CatalogueBusy(Unavailable):
    """Another process does not let go of the catalogue."""


class CatalogueUnreadable(Unavailable):
    """The catalogue cannot be opened now, which says nothing of what is in it."""


class CatalogueFull(ResourceExhausted):
    """There is no room to open the catalogue for writing."""


class Database:
    """Two connections, each usable from any thread: readers do not wait for a transaction."""

    def __init__(self, path: Path, reserve: Reserve | None = None, *, repair: bool = False) -> None:
        """Open or make the catalogue.

        Raises:
            CatalogueTooNew: a later version wrote it.
            CatalogueBroken: it is damaged, and not to be set aside.
            CatalogueBusy: another process holds it.
            CatalogueUnreadable: something else is in the way.
        """
        self._path = path
        self._repair = repair
        self._keep_unknown = path.with_name("keep-unknown")
        self._reserve = reserve or Reserve(path.parent, 0)
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._generation = 0
        self._full: Exception | None = None
        try:
            self._reserve.spend(self._open)
        except sqlite3.DatabaseError as error:
            if is_exhaustion(error) and not path.is_dir():
                self._open_read_only(error)
                return
            if is_anothers(error):
                raise CatalogueBusy(
                    f"{path}: {error}; another process has held it for {_BUSY_TIMEOUT_S:g} s: end that "
                    f"(fuser -v {path} names it), then start again"
                ) from error
            if not is_damage(error) and not path.is_dir():
                raise CatalogueUnreadable(
                    f"{path} cannot be opened: {error}; it stays as it is: see to its disk, then start again"
                ) from error
            if not repair:
                raise CatalogueBroken(
                    f"{path}: {error}; start the daemon, which sets it aside: containers go on, and images "
                    "can be pulled again"
                ) from error
            self._set_aside(error)
            self._reserve.spend(self._open)

    def _set_aside(self, cause: Exception) -> None:
        aside = self._path.with_name(f"damaged-{time.time_ns()}-{self._path.name}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
        log.error(
            "the catalogue was damaged: %s; the file is now %s, and its rows are made again", cause, aside
        )

    @property
    def root(self) -> Path:
        """The directory of the store."""
        return self._path.parent

    @property
    def may_sweep(self) -> bool:
        """Whether what no row names is rubbish."""
        return not self.problem and not self._keep_unknown.exists()

    def _open(self) -> None:
        with contextlib.ExitStack() as undo:
            self._writer = self._connect(undo)
            self._migrate()
            if self._repair:
                [(found,)] = self._writer.execute("PRAGMA quick_check(1)").fetchall()
                if found != "ok":
                    raise sqlite3.DatabaseError(str(found))
            self._reader = self._connect(undo)
            undo.pop_all()
        preallocate(self._path.with_name(f"{self._path.name}-wal"), _WAL_BYTES)

    def _open_read_only(self, cause: Exception) -> None:
        """What the file holds, if there is one; with a log of a killed process it could have been opened."""
        self._full = cause
        self._reader = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with contextlib.suppress(sqlite3.DatabaseError):
            uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as stored:
                stored.backup(self._reader)
        if self._reader.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._reader.executescript(_SCHEMA)

    def _open_again(self) -> None:
        """
        Raises:
            CatalogueFull: there is still no room.
        """
        with self._read_lock:
            stale = self._reader
            try:
                self._reserve.spend(self._open)
            except sqlite3.DatabaseError as error:
                raise CatalogueFull(f"{self._path} cannot be opened: {error}; make room there") from error
            stale.close()
            self._full = None
            self._generation += 1

    @property
    def problem(self) -> str:
        """Why nothing can be changed, or ""."""
        return "" if self._full is None else f"{self._path} can only be read: {self._full}"

    @property
    def unknown_kept(self) -> str:
        """Why nothing is swept, with the way out, or ""."""
        if not self._keep_unknown.exists():
            return ""
        names = self._unknown_names()
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else "")
        return (
            f"the catalogue of images was lost, and nothing says what {shown or 'is there'} "
            f"belonged to; it stays: remove {self._keep_unknown} once no container of before is left, "
            "then restart"
        )

    def _unknown_names(self) -> list[str]:
        try:
            return self._keep_unknown.read_text(errors="replace").splitlines()
        except OSError:
            return []

    def keep_unknown(self, names: Sequence[str]) -> None:
        """Have these places below the root kept, that nothing names; with none, sweep again. Blocking."""
        if names:
            write_atomic(self._keep_unknown, b"".join(os.fsencode(name) + b"\n" for name in names))
        else:
            self._keep_unknown.unlink(missing_ok=True)

    def _connect(self, undo: contextlib.ExitStack) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        undo.callback(connection.close)
        # One name that a damaged disk made no UTF-8 shall not hide the others.
        connection.text_factory = lambda data: data.decode(errors="replace")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _migrate(self) -> None:
        with _transaction(self._writer) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise CatalogueTooNew(
                    f"{self._path} has schema {found}, this version knows {SCHEMA_VERSION}; use the newer "
                    f"version, or go back to this one: stop, move {self._path}* away, and start the daemon, "
                    "which makes the catalogue again from the files beside the layers"
                )
            if found == 0:
                self._spare_what_is_there()
            for script in _MIGRATIONS[found:]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._require_tables(connection)

    def _require_tables(self, connection: sqlite3.Connection) -> None:
        """
        Raises:
            sqlite3.DatabaseError: there are none where others were: an empty list would not be true.
        """
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if missing := _TABLES - {str(row[0]) for row in rows}:
            raise sqlite3.DatabaseError(f"tables are missing: {', '.join(sorted(missing))}")

    def _spare_what_is_there(self) -> None:
        """A new catalogue over filled directories knows nothing of what is in use."""
        places = [self._path.with_name(name) for name in ("layers", "containers")]
        if any(place.is_dir() and any(place.iterdir()) for place in places):
            self._keep_unknown.touch(mode=0o600)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write under the database's lock (other processes wait); an exception undoes all. Blocking."""
        with self._lock:
            if self._full is not None:
                self._open_again()
            with _transaction(self._writer) as connection:
                yield connection

    def freeing(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """A transaction of something that frees, on the reserve if need be: ``work`` bears repetition."""

        def attempt() -> T:
            with self.transaction() as connection:
                return work(connection)

        return self._reserve.spend(attempt)

    def sync(self) -> None:
        """Have all that was committed on disk, by whatever process. Blocking."""
        with contextlib.suppress(FileNotFoundError):  # then all of it was
            descriptor = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def version(self) -> int:
        """A number that changes whenever anything was committed, by whatever process."""
        with self._read_lock:
            found = int(self._reader.execute("PRAGMA data_version").fetchone()[0])
        return found + (self._generation << 40)

    def read(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """The rows of a query, on the reading connection."""
        with self._read_lock:
            return self._reader.execute(statement, parameters).fetchall()

    def close(self) -> None:
        """Close both connections."""
        with self._read_lock:
            self._reader.close()
        with self._lock:
            if self._full is None:
                self._writer.close()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has undone it itself, as on a full disk
            connection.execute("ROLLBACK")
        raise


def referenced_layers(connection: sqlite3.Connection) -> set[str]:
    """The chain ids (hex) that an image or a container's root file system needs."""
    rows = connection.execute("SELECT chain_id FROM image_layers UNION SELECT chain_id FROM rootfs_layers")
    return {row[0] for row in rows}


def layers_of_containers(connection: sqlite3.Connection) -> set[str]:
    """The chain ids (hex) that a container's root file system or volume needs."""
    return {row[0] for row in connection.execute("SELECT chain_id FROM rootfs_layers")}
