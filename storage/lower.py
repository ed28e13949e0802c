"""A chain of layers as the lower directories of an overlay: at least one, and with a container's ids mapped.

<root>/empty-layer/diff         what an image without layers shows
<root>/containers/<id>/userns   a link to the pod's pinned user namespace; none, and nothing is mapped
<root>/containers/<id>/lower    mapped copies of the layers, while an overlay is mounted
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from host.idmaps import mapped_copies
from host.private import public_directory
from storage.catalogue import LayersVanished
from storage.digest import Digest
from storage.layers import Layers


class LowerDirectories:
    """Those of the store below ``root``."""

    def __init__(self, root: Path, layers: Layers) -> None:
        self._layers = layers
        self.empty = root / "empty-layer/diff"
        public_directory(self.empty.parent, 0o700)
        public_directory(self.empty)

    @contextlib.contextmanager
    def seen_from(self, place: Path, chain: Sequence[Digest], *, least: int = 1) -> Iterator[list[Path]]:
        """Lower directories, uppermost first, for mounting an overlay for the container at ``place``.

        ``least`` are filled up with empty ones at the bottom, which changes nothing. They may be gone after
        the block, and in it an overlay keeps hold of them. Blocking.

        Raises:
            LayersVanished: one is gone; in the block too, for whatever is not there.
            OSError: the file system of the layers cannot be mounted with mapped ids.
        """
        try:
            lower = self._layers.lower(tuple(reversed(chain)))
            lower += [self.empty] * max(0, least - len(lower))
            userns = place / "userns"
            if not userns.is_symlink():
                yield lower
                return
            with mapped_copies(lower, place / "lower", userns.readlink()) as mapped:
                yield mapped
        except FileNotFoundError as error:
            raise LayersVanished(f"a layer of {place.name} is gone; pull the image again") from error
