"""Large layers in several ranges at once, from a real registry and into real trees."""

import os
from dataclasses import replace

import pytest

from storage.digest import DigestMismatch
from storage.images import Images
from storage.unpacker import LayerError
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import Member, Registry, build_image, tar_bytes

pytestmark = pytest.mark.root

DATA = os.urandom(3 << 20)


def by_ranges(store: Images) -> Images:
    """The store, taking layers of this size for large."""
    client = replace(store.options.client, pieces_from_bytes=1 << 20, piece_bytes=256 << 10, attempts=2)
    store.reconfigure(replace(store.options, client=client))
    return store


async def test_a_registry_that_can_gives_a_layer_in_ranges(registry: Registry, open_store: OpenStore) -> None:
    registry.push("team/ranges", "v1", build_image([tar_bytes([Member("large", DATA)])]))
    async with open_store(registry.host) as store:
        image = await by_ranges(store).pull("registry.test/team/ranges:v1")
        assert (store.layers.tree(image.layers[0]) / "large").read_bytes() == DATA


async def test_a_registry_that_lies_in_a_range_is_found_by_the_digest_and_nothing_stays(
    registry: Registry, open_store: OpenStore
) -> None:
    built = build_image([tar_bytes([Member("large", DATA)])])
    registry.push("team/lies", "v1", built)
    blob = registry.blob_file(built.layer_digests[0])
    held = blob.read_bytes()
    blob.write_bytes(held[: 2 << 20] + bytes(100) + held[(2 << 20) + 100 :])
    async with open_store(registry.host) as store:
        before = contents(store)
        with pytest.raises((DigestMismatch, LayerError)):
            await by_ranges(store).pull("registry.test/team/lies:v1")
        assert contents(store) == before
