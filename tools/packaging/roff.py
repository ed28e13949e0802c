"""Manual pages in roff, with the macros of man(7)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from textwrap import wrap
from typing import Self

_WIDTH = 70

# What roff would take for its own, or for a typographic sign: a page shows what is typed.
_ESCAPES: Mapping[int, str] = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", '"': r"\(dq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)


def escape(text: str) -> str:
    """``text`` as it is to appear; signs beyond ASCII by their code."""
    plain = text.translate(_ESCAPES)
    return "".join(sign if sign.isascii() else rf"\[u{ord(sign):04X}]" for sign in plain)


class Page:
    """A manual page that is written from top to bottom; ``str()`` of it is the file."""

    def __init__(self, name: str, section: int, day: date, source: str, about: str) -> None:
        """Begin the page ``name(section)``; ``about`` completes the line of NAME."""
        self.file_name = f"{name}.{section}"
        self._lines = [f'.TH "{escape(name.upper())}" "{section}" "{day.isoformat()}" "{escape(source)}"']
        self._lines += [".SH NAME", rf"{escape(name)} \- {escape(about)}"]

    def heading(self, text: str) -> Self:
        self._lines += [f".SH {escape(text)}"]
        return self

    def text(self, *paragraphs: str) -> Self:
        for paragraph in paragraphs:
            self._begin_paragraph()
            self._lines += _filled(paragraph)
        return self

    def synopsis(self, *forms: tuple[str, str]) -> Self:
        """One line for each form: the words in bold, then what is put in their place."""
        for words, rest in forms:
            self._begin_paragraph()
            self._lines += [rf"\fB{escape(words)}\fP", *_filled(rest)]
        return self

    def item(self, term: str, value: str, *texts: str) -> Self:
        """A term in bold with its value in italics, and what there is to say; the first text stands close."""
        shown = [rf"\fB{escape(term)}\fP"] if term else []
        shown += [rf"\fI{escape(value)}\fP"] if value else []
        self._lines += [".TP", " ".join(shown)]
        for number, text in enumerate(filter(None, texts)):
            self._lines += ([".IP"] if number else []) + _filled(text)
        return self

    @contextmanager
    def indented(self) -> Iterator[None]:
        """What is written meanwhile stands below the item before it."""
        self._lines += [".RS"]
        yield
        if self._lines[-1] == ".RS":
            self._lines.pop()
        else:
            self._lines += [".RE"]

    def example(self, lines: Iterable[str]) -> Self:
        self._lines += [".PP", ".RS 4", ".nf", *map(_guarded, lines), ".fi", ".RE"]
        return self

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _begin_paragraph(self) -> None:
        if not self._lines[-1].startswith(".SH"):
            self._lines.append(".PP")


def _filled(text: str) -> list[str]:
    """Lines of a comfortable length, which roff fills anew."""
    return [_guarded(line) for line in wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _guarded(line: str) -> str:
    """A line that is text even if it begins like a request; an apostrophe is escaped anyway."""
    escaped = escape(line)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped
