"""Small JSON files that are known by themselves when a disk has damaged them.

A file is the sha256 of its second line, in hex, and that line.
"""

import json
from pathlib import Path
from typing import Any

from api.errors import Internal
from storage.digest import Digest


class SavedDamaged(Internal):
    """A file is not what was written, or another version's."""


def sealed(body: dict[str, Any]) -> bytes:
    """The bytes of a file with this content."""
    line = json.dumps(body, separators=(",", ":")).encode()
    return Digest.of(line).hex.encode() + b"\n" + line + b"\n"


def unsealed(data: bytes) -> dict[str, Any]:
    """The content of a file.

    Raises:
        SavedDamaged: it is not what ``sealed`` wrote.
    """
    seal, _, line = data.removesuffix(b"\n").partition(b"\n")
    if Digest.of(line).hex.encode() != seal:
        raise SavedDamaged("it is not what was written")
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SavedDamaged(f"it is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise SavedDamaged("it is no object")
    return body


def hex_digest(text: object) -> str:
    """A well-formed sha256 in hex.

    Raises:
        InvalidDigest: it is none.
    """
    return Digest.parse(f"sha256:{text}").hex


def holds(path: Path, data: bytes) -> bool:
    """Whether the file has this content already. Blocking."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False
