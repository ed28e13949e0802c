"""How an image enters the store, whoever brings it: its layers are leased and fetched, its rows committed.

Pulls and imports bring images (storage/pull.py, storage/importer.py); this is below both and knows neither.
From the first look at a layer until the commit the layer is leased, so that no removal takes it away.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.ids import ImageId
from host.files import sync_filesystem
from storage.catalogue import Catalogue, Image, LayersVanished, NewImage
from storage.digest import Digest, chain_ids
from storage.layers import Layers
from storage.manifest import Platform, require_platform
from storage.reference import Reference
from storage.unpacker import LayerSource

_COMMIT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image that is to enter: its documents, where its layers are to be had, and its names.

    ``manifest`` is b"" where there is none (docker save); ``sources`` are bottom first.
    """

    config: bytes
    manifest: bytes
    sources: Sequence[LayerSource]
    tags: Sequence[Reference]
    digests: Sequence[Reference] = ()


class Entering:
    """The way into the store below ``root``."""

    def __init__(self, root: Path, catalogue: Catalogue, layers: Layers) -> None:
        self._root = root
        self._catalogue = catalogue
        self._layers = layers

    async def add(self, arrival: Arrival, *, parallel: int) -> Image:
        """Fetch the layers, ``parallel`` at once, and enter the image under its names; all or nothing."""
        chain = chain_ids(tuple(source.diff_id for source in arrival.sources))
        tags = tuple(str(tag) for tag in arrival.tags)
        digests = tuple(dict.fromkeys(str(digest) for digest in arrival.digests))
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            async with self._layers.ensured(arrival.sources, parallel) as records:
                layers = tuple(zip(chain, records, strict=True))
                new = NewImage(arrival.config, arrival.manifest, layers, tags, digests)
                try:
                    await asyncio.to_thread(self._commit, new, chain)
                    return self._known(new.id)
                except LayersVanished:
                    if attempt == _COMMIT_ATTEMPTS:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def unchanged(
        self, config: Digest, manifest: bytes, names: Sequence[Reference], platform: Platform
    ) -> Image | None:
        """The image of this config if all of it is here, by this manifest and under all ``names``: nothing is
        to be fetched or written then.

        Raises:
            NoMatchingPlatform: it is for another than ``platform``.
        """
        image = self._catalogue.by_id(str(config))
        if image is None or image.fault:
            return None
        if not {str(name) for name in names} <= {*image.repo_tags, *image.repo_digests}:
            return None
        if not self._catalogue.came_by(image.id, manifest):
            return None
        if await asyncio.to_thread(lambda: any(map(self._layers.is_gone, image.layers))):
            return None
        require_platform(self._catalogue.platform_of(image.id), platform)
        return image

    def _commit(self, new: NewImage, chain: Sequence[Digest]) -> None:
        # One sync for the whole image, before any row says that it is there.
        sync_filesystem(self._root)
        self._catalogue.commit(new, [self._layers.tree(chain_id) for chain_id in chain], time.time_ns())

    def _known(self, image_id: ImageId) -> Image:
        image = self._catalogue.by_id(image_id)
        if image is None:
            raise LayersVanished(f"image {image_id} was removed while it was pulled")
        return image
