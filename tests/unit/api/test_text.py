"""api/text: what is left of text that would act."""

import unicodedata

import pytest

from api.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words: 'a' \"b\" ä 漢 😀", "plain words: 'a' \"b\" ä 漢 😀"),
        ("no\nFORGED", "no\\nFORGED"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b\r\t", "a\\u2028b\\r\\t"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_acts_is_escaped_and_the_rest_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_or_formatting_character_of_unicode_is_left() -> None:
    for code in range(0x110000):
        shown = printable(chr(code))
        left = {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
        assert not left, hex(code)
        assert len(shown.splitlines()) == 1 or not shown, hex(code)


def test_long_text_is_cut() -> None:
    assert printable("abcdef", 3) == "abc…"
    assert printable("abc", 3) == "abc"
