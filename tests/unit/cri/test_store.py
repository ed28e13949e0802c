"""The in-memory store: ids, unique prefixes, names."""

from dataclasses import dataclass

import pytest

from cri.store import AmbiguousId, RecordNotFound, Store


@dataclass(frozen=True)
class Item:
    id: str
    name: str


@pytest.fixture
def store() -> Store[Item]:
    store = Store[Item]("container")
    for item in (Item("aa11", "one"), Item("aa22", "two"), Item("bb33", "three")):
        store.add(item)
    return store


@pytest.mark.parametrize(("text", "name"), [("aa11", "one"), ("aa2", "two"), ("b", "three")])
def test_an_id_or_a_unique_prefix_finds(store: Store[Item], text: str, name: str) -> None:
    assert store.get(text).name == name


@pytest.mark.parametrize("text", ["cc", "", "aa113"])
def test_what_fits_nothing_is_not_found(store: Store[Item], text: str) -> None:
    assert store.find(text) is None
    with pytest.raises(RecordNotFound, match="container"):
        store.get(text)


def test_a_prefix_of_several_is_refused(store: Store[Item]) -> None:
    with pytest.raises(AmbiguousId, match="'aa' fits 2 containers"):
        store.find("aa")


def test_an_exact_id_wins_over_a_longer_one() -> None:
    store = Store[Item]("container")
    store.add(Item("aa1", "long"))
    store.add(Item("aa", "short"))
    assert store.get("aa").name == "short"


def test_a_discarded_record_frees_its_name(store: Store[Item]) -> None:
    item = store.get("aa11")
    store.discard(item)
    assert store.named("one") is None
    assert len(store) == 2
    store.discard(item)  # again is fine


def test_a_name_taken_over_by_another_record_stays_with_it(store: Store[Item]) -> None:
    old, new = store.get("aa11"), Item("dd44", "one")
    store.add(new)
    store.discard(old)
    assert store.named("one") is new


def test_a_verb_that_waited_learns_that_its_record_is_gone(store: Store[Item]) -> None:
    item = store.get("aa11")
    store.require(item)
    store.discard(item)
    store.add(Item("aa11", "one"))  # another record under the same id is not this one
    assert not store.holds(item)
    with pytest.raises(RecordNotFound, match="container aa11 was removed meanwhile"):
        store.require(item)
