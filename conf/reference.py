"""Every option in words, from the schema: what manual pages and other documents are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from conf.options import options_of
from conf.sample import render
from conf.schema import Config, RuntimeHandler
from conf.tables import dotted, schema_tables
from conf.unsupported import ANY_TABLE
from conf.values import Assignment, DeviceRule, Port, Seconds, Ulimit

_SIMPLE = {
    str: "text",
    bool: "true or false",
    int: "number",
    float: "number",
    Path: "path",
    Seconds: "duration",
    Port: "port number",
    Ulimit: "name=soft:hard",
    Assignment: "name=value",
    DeviceRule: "/dev/host[:/dev/container][:rwm]",
}


@dataclass(frozen=True, slots=True)
class Described:
    """An option as its reader wants it: name, what may be written, what applies if nothing is."""

    key: str
    kind: str
    default: str
    unit: str
    text: str
    reload: bool
    own: bool


@dataclass(frozen=True, slots=True)
class DescribedTable:
    """A table with its options; ``NAME`` in its name stands for one that the user chooses."""

    name: str
    text: str
    options: tuple[Described, ...]


def reference() -> Iterator[DescribedTable]:
    """The tables in the order of the schema."""
    for table, kind in schema_tables().items():
        values = RuntimeHandler() if ANY_TABLE in table else kind()
        hints = get_type_hints(kind)
        options = tuple(
            Described(
                key=key,
                kind=describe(hints[key]),
                default=render(getattr(values, key), hints[key]),
                unit="" if hints[key] is Seconds else option.unit,
                text=option.text,
                reload=option.reload,
                own=option.own,
            )
            for key, option in options_of(kind).items()
        )
        yield DescribedTable(dotted(table).replace(ANY_TABLE, "NAME"), _about(kind), options)


def describe(kind: Any) -> str:
    """What may be written for a type of the schema."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(f'"{value}"' for value in arguments)
    if origin is UnionType:
        return describe(next(each for each in arguments if each is not NoneType)) + ", or empty"
    if origin is tuple:
        each = describe(arguments[0])
        return f"list of {each}s" if each.isalpha() else f"list of {each}"
    return "table of texts"


def _about(kind: type[Any]) -> str:
    """The sentence of a table's docstring, without the table's name before the colon."""
    if kind is Config:
        return "Where things are."
    first = (kind.__doc__ or "").strip().partition("\n")[0]
    text = first.partition(": ")[2] or first
    return text[:1].upper() + text[1:]
