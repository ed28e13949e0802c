"""Layers as a container sees them whose ids are mapped by a user namespace.

<root>/containers/<id>/userns   a link to the pod's pinned user namespace; none, and nothing is mapped
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from host.idmaps import mapped_copies


@contextlib.contextmanager
def mapped_layers(lower: Sequence[Path], place: Path) -> Iterator[Sequence[Path]]:
    """Paths of the layers for mounting an overlay for the container at ``place``; gone after the block.

    Raises:
        OSError: the file system of the layers cannot be mounted with mapped ids.
    """
    userns = place / "userns"
    if not userns.is_symlink():
        yield lower
        return
    with mapped_copies(lower, place / "lower", userns.readlink()) as mapped:
        yield mapped
