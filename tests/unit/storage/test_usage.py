"""storage/usage: shared layers are counted where they belong."""

from dataclasses import replace

import pytest

from api.ids import ImageId
from storage.catalogue import Image
from storage.digest import Digest
from storage.layers import LayerRecord
from storage.manifest import ImageConfig
from storage.usage import by_image, by_layer

CHAIN = [Digest(f"{number:064x}") for number in range(4)]
EMPTY = Image(ImageId("sha256:1"), (), (), 0, "", ImageConfig(), (), None, pinned=False)
ONE = replace(EMPTY, id=ImageId("sha256:1"), layers=(CHAIN[0], CHAIN[1]))
TWO = replace(EMPTY, id=ImageId("sha256:2"), layers=(CHAIN[0], CHAIN[2], CHAIN[2]))
RECORDS = {chain: LayerRecord(1, 100 * (number + 1), number) for number, chain in enumerate(CHAIN)}


def test_layers_are_listed_once_the_largest_first_with_their_images() -> None:
    layers = by_layer([ONE, TWO], RECORDS)
    assert [(layer.chain_id, layer.disk_bytes, layer.images) for layer in layers] == [
        (CHAIN[3], 400, ()),
        (CHAIN[2], 300, (TWO.id,)),
        (CHAIN[1], 200, (ONE.id,)),
        (CHAIN[0], 100, (ONE.id, TWO.id)),
    ]


@pytest.mark.parametrize(("image", "unique", "shared"), [(ONE, 200, 100), (TWO, 300, 100), (EMPTY, 0, 0)])
def test_what_would_be_free_is_what_no_other_has(image: Image, unique: int, shared: int) -> None:
    [usage] = by_image([image], by_layer([ONE, TWO], RECORDS))
    assert (usage.unique_bytes, usage.shared_bytes) == (unique, shared)


def test_a_layer_that_is_gone_takes_nothing() -> None:
    assert {layer.disk_bytes for layer in by_layer([ONE], {CHAIN[0]: None})} == {0}
