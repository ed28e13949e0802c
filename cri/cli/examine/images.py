"""The images in the store."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cri.cli.examine.findings import Finding, ok, warning
from storage.catalogue import faults


def images(root: Path) -> Iterator[Finding]:
    """Whether every image below ``root`` can be read; the others are listed all the same."""
    path = root / "catalogue.db"
    try:
        if not path.is_file():
            return
        found = faults(path)
    except (OSError, sqlite3.DatabaseError) as error:
        yield warning("images", f"{path} cannot be read: {error}", "run this command as root")
        return
    for image, fault in found:
        yield warning("images", f"{image} cannot be used: {fault}", f"podwright image remove {image}")
    if not found:
        yield ok("images", "all can be read")
