from datetime import date

import pytest

from tools.packaging.roff import Page, escape


def _page() -> Page:
    return Page("some-thing", 8, date(2026, 1, 2), "Podwright 1", "does this")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("--set", r"\-\-set"),
        (r"a\b", r"a\eb"),
        ('it\'s "so"', r"it\(aqs \(dqso\(dq"),
        ("ä", r"\[u00E4]"),
    ],
)
def test_signs_with_a_meaning_in_roff_are_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_page_begins_with_its_title_and_purpose() -> None:
    assert str(_page()).splitlines() == [
        r'.TH "SOME\-THING" "8" "2026\-01\-02" "Podwright 1"'.replace(r"2026\-01\-02", "2026-01-02"),
        ".SH NAME",
        r"some\-thing \- does this",
    ]


def test_text_that_begins_like_a_request_stays_text() -> None:
    assert str(_page().heading("FILES").text(".hidden")).splitlines()[-1] == r"\&.hidden"


def test_long_texts_become_several_lines_and_none_is_a_request() -> None:
    page = str(_page().heading("TEXT").text("word .dot " * 40))
    lines = page.splitlines()[4:]
    assert len(lines) > 4
    assert max(map(len, lines)) <= 80
    assert not any(line.startswith(".") for line in lines)


def test_an_item_has_its_further_texts_in_paragraphs_of_their_own() -> None:
    page = _page().item("--name", "FILE", "First.", "", "Second.")
    assert str(page).splitlines()[3:] == [".TP", r"\fB\-\-name\fP \fIFILE\fP", "First.", ".IP", "Second."]


def test_an_indentation_with_nothing_in_it_leaves_no_trace() -> None:
    page = _page()
    with page.indented():
        pass
    assert ".RS" not in str(page)
