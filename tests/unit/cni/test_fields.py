"""Typed reads of JSON."""

from collections.abc import Callable

import pytest

from cni import fields
from cni.errors import NetworkConfigInvalid


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (fields.string, "x", "x"),
        (fields.string, None, ""),
        (fields.boolean, True, True),
        (fields.boolean, None, False),
        (fields.boolean_or_text, None, False),
        (fields.boolean_or_text, True, True),
        (fields.boolean_or_text, "true", True),
        (fields.boolean_or_text, "False", False),
        (fields.boolean_or_text, "TRUE", True),
        (fields.integer, 3, 3),
        (fields.integer, None, 0),
        (fields.mapping, {"a": 1}, {"a": 1}),
        (fields.mapping, None, {}),
        (fields.strings, ["a"], ("a",)),
        (fields.objects, [{}], [{}]),
        (fields.items, None, []),
    ],
)
def test_values_and_their_defaults(read: Callable[..., object], value: object, expected: object) -> None:
    assert read({"key": value}, "key", "x") == expected


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (fields.string, 1, "key must be a string, not a number"),
        (fields.boolean, "true", "key must be true or false, not a string"),
        (fields.boolean_or_text, "1", "key must be true or false, not '1'"),
        (fields.boolean_or_text, "", "key must be true or false, not ''"),
        (fields.boolean_or_text, 1, "key must be true or false, not a number"),
        (fields.integer, True, "key must be a whole number, not a boolean"),
        (fields.integer, 1.5, "key must be a whole number, not a number"),
        (fields.mapping, [], "key must be an object, not a list"),
        (fields.strings, ["a", 1], "key must be a list of strings"),
        (fields.objects, [1], "key must be a list of objects"),
    ],
)
def test_other_types_are_refused(read: Callable[..., object], value: object, message: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match=f"^here: {message}"):
        read({"key": value}, "key", "here")


def test_a_network_may_have_host_bits() -> None:
    assert str(fields.network("10.0.0.5/8", "dst", "x")) == "10.0.0.0/8"
