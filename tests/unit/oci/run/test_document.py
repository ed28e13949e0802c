"""Reading JSON by types."""

import pytest

from oci.run.document import Table
from oci.run.errors import BadConfig

TABLE = Table(
    {
        "text": "word",
        "number": 5,
        "whole": 6.0,
        "flag": True,
        "null": None,
        "list": ["a", "b"],
        "numbers": [1, 2],
        "table": {"inner": {"key": "x"}},
        "tables": [{"a": 1}],
        "map": {"k": "v"},
    }
)


def test_what_is_there_is_given_by_its_type() -> None:
    assert TABLE.text("text") == "word"
    assert (TABLE.number("number"), TABLE.number("whole")) == (5, 6)
    assert TABLE.flag("flag")
    assert TABLE.texts("list") == ("a", "b")
    assert TABLE.numbers("numbers") == (1, 2)
    assert TABLE.table("table").table("inner").text("key") == "x"
    assert [one.number("a") for one in TABLE.tables("tables")] == [1]
    assert TABLE.text_map("map") == {"k": "v"}


@pytest.mark.parametrize("key", ["null", "missing"])
def test_null_is_as_good_as_missing(key: str) -> None:
    assert key not in TABLE
    assert (TABLE.text(key), TABLE.number(key, 7), TABLE.flag(key), TABLE.texts(key)) == ("", 7, False, ())
    assert TABLE.optional_number(key) is None
    assert not TABLE.table(key)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda table: table.text("number"), "number"),
        (lambda table: table.number("text"), "text"),
        (lambda table: table.number("flag"), "flag"),
        (lambda table: table.flag("text"), "text"),
        (lambda table: table.texts("text"), "text"),
        (lambda table: table.texts("numbers"), "numbers"),
        (lambda table: table.table("list"), "list"),
        (lambda table: table.table("table").table("inner").number("key"), "table.inner.key"),
        (lambda table: table.tables("list"), r"list\[0\]"),
        (lambda table: Table({"n": 1 << 65}).number("n"), "n"),
        (lambda table: Table([]), "document"),
    ],
)
def test_another_type_is_refused_with_the_keys_path(read: object, name: str) -> None:
    assert callable(read)
    with pytest.raises(BadConfig, match=name):
        read(TABLE)
