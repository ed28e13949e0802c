"""What images and layers take on disk, shared layers counted where they belong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.catalogue import Image
from storage.digest import Digest
from storage.layers import LayerRecord


@dataclass(frozen=True, slots=True)
class LayerUsage:
    """A layer, and the images that have it; none when only containers do."""

    chain_id: Digest
    disk_bytes: int
    inodes: int
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """``unique_bytes`` would be free if the image went; ``shared_bytes`` are in other images too."""

    image: Image
    unique_bytes: int
    shared_bytes: int


def by_layer(images: Sequence[Image], records: Mapping[Digest, LayerRecord | None]) -> list[LayerUsage]:
    """Every layer once, the largest first."""
    owners: dict[Digest, list[str]] = {chain_id: [] for chain_id in records}
    for image in images:
        for chain_id in dict.fromkeys(image.layers):
            owners.setdefault(chain_id, []).append(image.id)
    found = [
        LayerUsage(chain_id, record.disk_bytes if record else 0, record.inodes if record else 0, tuple(ids))
        for chain_id, ids in owners.items()
        for record in (records.get(chain_id),)
    ]
    return sorted(found, key=lambda layer: (-layer.disk_bytes, layer.chain_id.hex))


def by_image(images: Sequence[Image], layers: Sequence[LayerUsage]) -> list[ImageUsage]:
    """Every image, in the order given."""
    known = {layer.chain_id: layer for layer in layers}
    result = []
    for image in images:
        own = [known[chain_id] for chain_id in dict.fromkeys(image.layers) if chain_id in known]
        unique = sum(layer.disk_bytes for layer in own if len(layer.images) == 1)
        result.append(ImageUsage(image, unique, sum(layer.disk_bytes for layer in own) - unique))
    return result
