"""Records as a damaged disk, another version or a hostile text could have left them."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

Change = Callable[[sqlite3.Connection, str, str], None]


def _state(**changes: object) -> Change:
    def change(database: sqlite3.Connection, kind: str, identifier: str) -> None:
        where = (kind, identifier)
        (text,) = database.execute("SELECT state FROM records WHERE kind = ? AND id = ?", where).fetchone()
        state = json.dumps(json.loads(text) | changes)
        database.execute("UPDATE records SET state = ? WHERE kind = ? AND id = ?", (state, *where))

    return change


def _column(name: str, value: bytes | str | int | None, *, text: bool = False) -> Change:
    mark = "CAST(? AS TEXT)" if text else "?"

    def change(database: sqlite3.Connection, kind: str, identifier: str) -> None:
        statement = f"UPDATE records SET {name} = {mark} WHERE kind = ? AND id = ?"
        database.execute(statement, (value, kind, identifier))

    return change


ODD: Mapping[str, Change] = {
    "text that is no UTF-8": _column("state", b"\xff\xfe{", text=True),
    "a name that is no UTF-8": _column("name", b"k8s_\xff", text=True),
    "not JSON": _column("state", "{"),
    "JSON of another kind": _column("state", "[]"),
    "no state": _column("state", None),
    "deep JSON": _column("state", "[" * 100_000),
    "no message": _column("config", b"\xff\xff\xff"),
    "a message with text that is no UTF-8": _column("config", b"\x0a\x03\x0a\x01\xff"),
    "a message that is a number": _column("config", 5),
    "a number beyond its field": _state(created_ns=1 << 70),
    "a number that is text": _state(created_ns="now"),
    "a surrogate": _state(handler="\ud800", image_ref="\ud800"),
    "an unknown phase": _state(phase="flying"),
    "a phase that is a list": _state(phase=[]),
}


def spoil(path: Path, kind: str, identifier: str, change: Change) -> None:
    """Change one record of a file that nobody has open."""
    database = sqlite3.connect(path, isolation_level=None)
    try:
        change(database, kind, identifier)
    finally:
        database.close()
