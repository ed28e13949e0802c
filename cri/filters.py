"""List filters: an id, exact or a unique prefix, and labels that must all match."""

from collections.abc import Mapping
from typing import TypeVar

from cri.store import AmbiguousId, Record, Store

R = TypeVar("R", bound=Record)


def has_labels(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """True when every pair of ``selector`` is among ``labels``."""
    return all(labels.get(key) == value for key, value in selector.items())


def candidates(store: Store[R], identifier: str) -> list[R]:
    """All records, or the one that the id filter leaves; an unknown or ambiguous id leaves none."""
    if not identifier:
        return list(store)
    try:
        record = store.find(identifier)
    except AmbiguousId:
        return []
    return [] if record is None else [record]
