"""Lines of the kernel's tables, which end with a newline and with nothing else.

Names in them are others' to choose: of mount points any user's (FUSE), of interfaces and cgroups a
container's. ``str.splitlines`` ends lines at ten other characters too, which such names may contain, and
strict decoding refuses bytes that they may have.
"""

import os


def lines(text: str) -> list[str]:
    """Those of ``text``, the empty ones left out."""
    return [line for line in text.split("\n") if line]


def read_table(path: os.PathLike[str] | str) -> str:
    """The text of a table, in which bytes that are no UTF-8 are kept (PEP 383)."""
    with open(path, "rb") as file:
        return os.fsdecode(file.read())
