"""Rotten layers are found by what was recorded of them, and nothing else is taken away."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from api.ids import new_container_id
from host.mounts import is_mountpoint
from storage.catalogue import Image
from storage.images import Images
from storage.overlay import RootfsManager
from storage.verify import State, Verdict, layers_of
from tests.integration.storage.conftest import OpenStore
from tests.integration.storage.support import Member
from tests.integration.storage.test_overlay import add

pytestmark = pytest.mark.root

BASE = [Member("base", b"base" * 100), Member("d", kind=b"5", mode=0o755), Member("d/f", b"1")]
OWN = [[Member("own", b"1" * 5000)], [Member("own", b"2" * 5000)]]


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Images]:
    """Two images that share their lower layer, all looked at once."""
    async with open_store("127.0.0.1:1") as opened:
        for number, own in enumerate(OWN):
            await add(opened, [BASE, own], f"image{number}")
        assert {each.state for each in examined(opened)} == {State.NEW}
        yield opened


def examined(store: Images) -> list[Verdict]:
    verifier = store.verifier()
    return [verifier.verify(chain_id) for chain_id in layers_of(store.list())]


def image(store: Images, number: int) -> Image:
    found = store.find(f"image{number}:latest")
    assert found is not None
    return found


def test_an_untouched_store_is_whole(store: Images) -> None:
    assert [each.state for each in examined(store)] == [State.WHOLE] * 3


@pytest.mark.parametrize(
    ("rot", "state"),
    [
        (lambda layer: (layer / "diff/own").write_bytes(b"x" * 5000), State.ROTTEN),
        (lambda layer: (layer / "diff/own").unlink(), State.ROTTEN),
        (lambda layer: (layer / "diff/own").chmod(0o777), State.ROTTEN),
        (lambda layer: (layer / "tree.saved").write_bytes(b"x"), State.ROTTEN),
        (lambda layer: (layer / "layer.json").unlink(), State.GONE),
        (lambda layer: (layer / "diff").rename(layer / "lost"), State.GONE),
    ],
)
async def test_what_is_broken_goes_and_says_what_to_pull_and_the_rest_stays(
    store: Images, rot: Callable[[Path], object], state: State
) -> None:
    broken, whole = image(store, 0), image(store, 1)
    rot(store.layers.place(broken.layers[1]))
    verdicts = examined(store)
    assert {each.chain_id: each.state for each in verdicts if each.bad} == {broken.layers[1]: state}
    dropped = await store.verifier().drop(verdicts)
    assert [each.repo_tags for each in dropped] == [broken.repo_tags]
    assert store.list() == [whole]
    assert store.layers.there() == sorted(whole.layers, key=lambda chain: chain.hex)
    await add(store, [BASE, OWN[0]], "again")
    assert not any(each.bad for each in examined(store))


async def test_a_layer_that_many_share_takes_all_of_them(store: Images) -> None:
    (store.layers.tree(image(store, 0).layers[0]) / "base").write_bytes(b"rot" * 100)
    dropped = await store.verifier().drop(examined(store))
    assert len(dropped) == 2
    assert store.layers.there() == []


async def test_a_container_keeps_what_it_has_mounted_and_no_pull_takes_it_for_whole(store: Images) -> None:
    rootfs = RootfsManager(store.root, store.database, store.layers)
    container, broken = new_container_id(), image(store, 0)
    path = await rootfs.prepare(container, broken)
    (store.layers.tree(broken.layers[1]) / "own").write_bytes(b"x" * 5000)
    await store.verifier().drop(examined(store))
    assert is_mountpoint(path)
    assert (path / "base").read_bytes() == b"base" * 100
    again = await add(store, [BASE, OWN[0]], "again")
    assert (store.layers.tree(again.layers[1]) / "own").read_bytes() == b"1" * 5000
    assert not any(each.bad for each in examined(store))
    await rootfs.remove(container)
