"""What storage/layers asks of a form in which layers lie on disk, and what a root file system gets of it.

A layer is a directory that ``Layers`` makes below ingest/, publishes by one rename and takes away by another.
What is in it, beside the record that ``Layers`` writes, is the form's own. All methods block.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from storage.unpacker import Unpacked


class Snapshots(Protocol):
    """One form; every one passes tests/contract/snapshots.py."""

    def begin(self, scratch: Path) -> Path:
        """Make room for a layer in the new directory ``scratch``; where the unpack process is to write."""

    def complete(self, scratch: Path, unpacked: Unpacked, below: Sequence[Path]) -> None:
        """Finish an unpacked layer; ``below`` are the directories of the layers under it, bottom first.

        Directories that it used and did not describe have the owner, mode and time that they have below:
        without this a layer with ``tmp/x`` and no ``tmp/`` would hide the sticky bit of the base's /tmp.
        """

    def tree(self, layer: Path) -> Path:
        """Where its files are to be seen while ``lower`` has them."""

    def is_whole(self, layer: Path) -> bool:
        """Whether the form's part of the layer is there; its content is not looked at.

        Raises:
            OSError: nobody can tell.
        """

    def lower(self, layers: Sequence[Path]) -> list[Path]:
        """Directories to give to overlayfs, in the order of ``layers``; usable until ``release``.

        Raises:
            FileNotFoundError: one of them is gone.
        """

    def release(self, layer: Path) -> None:
        """Let go of a layer that is to be renamed away or removed; who mounted it keeps it. Idempotent."""
