"""What an error of SQLite says of the file: damage is what only its content can have caused.

Everything else (another process holds it, a disk that does not answer, no descriptors, no permission) says
something of this moment, and a file of which nothing is known must never be set aside or begun anew.
"""

import sqlite3

_PRIMARY = 0xFF
# Pages that contradict each other, no database at all, one of another format, and a schema of other tables.
_DAMAGE = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
)
_ANOTHERS = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is damaged; an error without a code is raised by who has looked inside."""
    code = _code(error)
    return code is None or code in _DAMAGE


def is_anothers(error: sqlite3.Error) -> bool:
    """Whether the file could not be had because another process has it."""
    return _code(error) in _ANOTHERS


def _code(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY
