"""The record of an installation: what ``make uninstall`` removes, and nothing else.

One line each, paths without DESTDIR:

    file PATH
    directory PATH              made by the installation; removed if it is empty then
    configuration SHA256 PATH   removed if it is still as it was installed
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tools.packaging.layout import below


class BadManifest(Exception):
    """The record of an earlier installation cannot be read."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was installed; ``configuration`` maps a path to the digest of what was written there."""

    files: frozenset[Path] = frozenset()
    directories: frozenset[Path] = frozenset()
    configuration: Mapping[Path, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            BadManifest: a line is none of the three.
        """
        files: set[Path] = set()
        directories: set[Path] = set()
        configuration: dict[Path, str] = {}
        for line in text.splitlines():
            match line.split(" ", 1)[0], line.partition(" ")[2]:
                case "file", path:
                    files.add(Path(path))
                case "directory", path:
                    directories.add(Path(path))
                case "configuration", rest if " " in rest:
                    digest, _, path = rest.partition(" ")
                    configuration[Path(path)] = digest
                case _:
                    raise BadManifest(f"the manifest has a line that is not known: {line!r}")
        return cls(frozenset(files), frozenset(directories), configuration)

    def __str__(self) -> str:
        lines = [f"directory {path}" for path in sorted(self.directories)]
        lines += [f"file {path}" for path in sorted(self.files)]
        lines += [f"configuration {digest} {path}" for path, digest in sorted(self.configuration.items())]
        return "\n".join(lines) + "\n"

    def remove(self, root: Path) -> list[str]:
        """Remove what is recorded below ``root``; returns what stays, and why. May be repeated."""
        stays = []
        for path in self.files:
            below(root, path).unlink(missing_ok=True)
        for path, digest in sorted(self.configuration.items()):
            if digest_of(below(root, path)) in (digest, None):
                below(root, path).unlink(missing_ok=True)
            else:
                stays.append(f"{path}: it was changed")
        for path in sorted(self.directories, reverse=True):
            place = below(root, path)
            if place.is_dir() and any(place.iterdir()):
                stays.append(f"{path}: it is not empty")
            elif place.is_dir():
                place.rmdir()
        return stays


def digest_of(path: Path) -> str | None:
    """Of a file's bytes, in hex; None if it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
