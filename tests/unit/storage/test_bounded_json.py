"""storage/bounded_json: what is counted, and what is refused."""

import json

import pytest

from storage.bounded_json import BadJson, bounded_json


def parse(data: bytes, values: int = 1000) -> object:
    return bounded_json(data, "document", values=values)


@pytest.mark.parametrize(
    "document", [{}, [], "x", 1, None, {"a": [1, {"b": "c,[{"}], "d": '\\"' * 5000}, ["," * 5000]]
)
def test_what_is_written_is_read(document: object) -> None:
    assert parse(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'["xy"' + b',"xy"' * 2000 + b"]", "more than 1000 values"),
        (b"[" * 100 + b"]" * 100, "nested more than 64 deep"),
        (b"[" * 500_000, "more than 1000 values"),
        (b'{"a":1,"a":2}', "stands twice"),
        (b'{"b":{"a":1,"a":2}}', "stands twice"),
        (b'{"a":NaN}', "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b'"\xff"', "not JSON"),
        ('{"a":1}'.encode("utf-16"), "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"9" * 100_000, "not JSON"),
        (b"", "not JSON"),
        (b'"' + b'\\"' * 2_000_000, "not JSON"),
        (b'"' + b'\\"' * 2_000_000 + b"\\", "not JSON"),
        (b'{"' * 100, "not JSON"),
    ],
)
def test_what_is_too_much_or_has_two_meanings_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadJson, match=words):
        parse(data)


def test_the_count_is_of_values_and_not_of_commas_in_text() -> None:
    assert parse(b"[" + b",".join([b"1"] * 999) + b"]") == [1] * 999
    with pytest.raises(BadJson):
        parse(b"[" + b",".join([b"1"] * 1000) + b"]")
