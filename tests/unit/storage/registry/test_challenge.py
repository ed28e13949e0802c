"""storage/registry/challenge: WWW-Authenticate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.registry.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ('Basic realm="r"', [Challenge("basic", (("realm", "r"),))]),
        ("Basic", [Challenge("basic")]),
        (
            'Bearer realm="https://a/t?x=1",service=s,scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    (("realm", "https://a/t?x=1"), ("service", "s"), ("scope", "repository:a/b:pull,push")),
                )
            ],
        ),
        (
            'Basic realm="a", Bearer realm="b"',
            [Challenge("basic", (("realm", "a"),)), Challenge("bearer", (("realm", "b"),))],
        ),
        (r'Basic realm="a \"b\""', [Challenge("basic", (("realm", 'a "b"'),))]),
    ],
)
def test_headers_of_registries(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges(header) == expected


def test_a_missing_parameter_is_empty() -> None:
    assert Challenge("bearer").get("realm") == ""


@given(st.text(max_size=80))
def test_any_header_is_read_to_an_end(header: str) -> None:
    assert isinstance(parse_challenges(header), list)
