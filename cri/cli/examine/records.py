"""The records of a daemon, running or not: which of them it cannot read back, and so leaves out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cri.cli.examine.findings import Finding, ok, warning
from cri.paths import Paths
from cri.records import Unreadable, read

_REMEDIES = {"sandbox": "crictl rmp", "container": "crictl rm"}


def records(runroot: Path) -> Iterator[Finding]:
    """A line for each record that is left out; reads only."""
    path = Paths(runroot).records
    if not path.exists():
        return
    try:
        found = list(_unreadable(path))
    except sqlite3.Error as error:
        yield warning("records", f"{path}: {error}", "stop all pods and move the file away")
        return
    for kind, row in found:
        identifier, why = (ascii(text)[1:-1] for text in (row.id, row.why))
        yield warning("records", f"{kind} {identifier} is left out: {why}", f"{_REMEDIES[kind]} {identifier}")
    if not found:
        yield ok("records", str(path))


def _unreadable(path: Path) -> Iterator[tuple[str, Unreadable]]:
    from cri.readback import showable_container, showable_sandbox  # protobuf: only where there are records

    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        for row in read(database, "sandbox", showable_sandbox)[1]:
            yield "sandbox", row
        for row in read(database, "container", showable_container)[1]:
            yield "container", row
