"""The catalogue: which images, names, layers and container root file systems there are (SQLite, WAL).

The rows are the truth; a directory that no row names is rubbish. Several processes may have the store
open (the daemon and the command line), so nothing is assumed between two transactions. A row is written
after what it names was synced; losing the last rows in a power cut loses an image, never its integrity,
hence synchronous=NORMAL.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from api.errors import FailedPrecondition, Internal

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE images (
    id TEXT PRIMARY KEY, config BLOB NOT NULL, manifest BLOB NOT NULL, size_bytes INTEGER NOT NULL,
    pulled_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE tags (
    name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE
) STRICT;
CREATE TABLE digests (
    name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE
) STRICT;
CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE, position INTEGER NOT NULL,
    chain_id TEXT NOT NULL, disk_bytes INTEGER NOT NULL, inodes INTEGER NOT NULL,
    PRIMARY KEY (image_id, position)
) STRICT;
CREATE TABLE rootfs (container_id TEXT PRIMARY KEY, image_id TEXT NOT NULL) STRICT;
CREATE TABLE rootfs_layers (
    container_id TEXT NOT NULL REFERENCES rootfs ON DELETE CASCADE, position INTEGER NOT NULL,
    chain_id TEXT NOT NULL, PRIMARY KEY (container_id, position)
) STRICT;
CREATE INDEX tags_by_image ON tags (image_id);
CREATE INDEX digests_by_image ON digests (image_id);
CREATE INDEX image_layers_by_chain ON image_layers (chain_id);
CREATE INDEX rootfs_layers_by_chain ON rootfs_layers (chain_id);
"""


class CatalogueTooNew(FailedPrecondition):
    """A later version of Podwright wrote the catalogue."""


class CatalogueBroken(Internal):
    """The catalogue is no database, or a damaged one."""


class Database:
    """Two connections, each usable from any thread: readers do not wait for a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()
        try:
            with contextlib.ExitStack() as undo:
                self._writer = self._connect(undo)
                self._migrate()
                self._reader = self._connect(undo)
                undo.pop_all()
        except sqlite3.DatabaseError as error:
            raise CatalogueBroken(
                f"{path}: {error}; remove the file to start without images, they can be pulled again"
            ) from error

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
        with self.transaction() as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise CatalogueTooNew(
                    f"{self._path} has schema {found}, this version knows {SCHEMA_VERSION}; "
                    "use the newer version"
                )
            if found == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write under the database's lock (other processes wait); an exception undoes all. Blocking."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite has undone it itself, as on a full disk
                    self._writer.execute("ROLLBACK")
                raise

    def version(self) -> int:
        """A number that changes whenever anything was committed, by whatever process."""
        with self._read_lock:
            return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def read(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """The rows of a query, on the reading connection."""
        with self._read_lock:
            return self._reader.execute(statement, parameters).fetchall()

    def close(self) -> None:
        """Close both connections."""
        with self._read_lock:
            self._reader.close()
        with self._lock:
            self._writer.close()


def referenced_layers(connection: sqlite3.Connection) -> set[str]:
    """The chain ids (hex) that an image or a container's root file system needs."""
    rows = connection.execute("SELECT chain_id FROM image_layers UNION SELECT chain_id FROM rootfs_layers")
    return {row[0] for row in rows}
