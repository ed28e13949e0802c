"""Every option is described, and none is in both lists."""

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from conf.options import options_of
from conf.tables import Table, schema_tables
from conf.unsupported import ANY_KEY, UNSUPPORTED, Ignored
from conf.values import WrongValue, convert


@pytest.mark.parametrize("kind", schema_tables().values())
def test_every_field_is_an_option_with_a_sentence_or_a_table(kind: type[Any]) -> None:
    described = options_of(kind)
    hints = get_type_hints(kind)
    for each in fields(kind):
        if each.name in described:
            assert described[each.name].text.endswith(".")
        else:
            assert is_dataclass(hints[each.name]) or each.name == "runtimes"


@pytest.mark.parametrize(("table", "kind"), schema_tables().items())
def test_no_key_is_supported_and_unsupported_at_once(table: Table, kind: type[Any]) -> None:
    assert not set(options_of(kind)) & set(UNSUPPORTED.get(table, {}))


@pytest.mark.parametrize(("table", "keys"), UNSUPPORTED.items())
def test_every_unsupported_key_has_a_reason_and_a_table(table: Table, keys: dict[str, Ignored]) -> None:
    assert all(each.reason for each in keys.values())
    assert table in schema_tables() or ANY_KEY in keys


@pytest.mark.parametrize("kind", schema_tables().values())
def test_tables_are_frozen(kind: type[Any]) -> None:
    key = next(iter(options_of(kind)))
    with pytest.raises(AttributeError):
        setattr(kind(), key, None)


def test_every_type_of_an_option_can_be_converted() -> None:
    for kind in schema_tables().values():
        for key, hint in get_type_hints(kind).items():
            if key in options_of(kind):
                with pytest.raises(WrongValue):  # a set is never valid; an unknown type is a KeyError
                    convert(hint, {1})
