"""What the schema says about an option beside its name, type and default."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar, cast

T = TypeVar("T")

_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """The help of one option.

    Attributes:
        text: What it does, in sentences for the sample file.
        unit: Unit of a number; empty when the text or the type says it.
        reload: True when a new value may take effect without a restart of the daemon.
        own: True when CRI-O has no such key.
    """

    text: str
    unit: str = ""
    reload: bool = False
    own: bool = False


def option(default: T, text: str, *, unit: str = "", reload: bool = False, own: bool = False) -> T:
    """A dataclass field with its help; typed as its default, as dataclasses.field is."""
    metadata = {_KEY: Option(text, unit, reload, own)}
    if isinstance(default, Mapping):
        return cast(T, field(default_factory=lambda: default, metadata=metadata))
    return field(default=default, metadata=metadata)


def options_of(table: type[Any]) -> Mapping[str, Option]:
    """The options of a table's dataclass in the order of its text; sub-tables are left out."""
    described: Mapping[str, Field[Any]] = {each.name: each for each in fields(table)}
    return {name: each.metadata[_KEY] for name, each in described.items() if _KEY in each.metadata}
