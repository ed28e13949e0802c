"""HTML whose text is escaped unless it was made here: names, labels and errors are strangers' text.

``element`` makes a Markup of its children; a child that is none is text, and is made printable and escaped.
Attributes are escaped and quoted always; no element takes a style or a handler of events, and no script.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from api.text import printable

_FORBIDDEN: Final = ("style", "srcdoc")
# Elements without an end.
_VOID: Final = frozenset({"meta", "link", "rect", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | Markup


def text(value: object) -> Markup:
    """Anything as text."""
    return value if isinstance(value, Markup) else Markup(escape(printable(str(value))))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """``<name key="value">children</name>``; ``class_`` is class, and underscores are hyphens."""
    pairs = []
    for key, value in attributes.items():
        word = key.strip("_").replace("_", "-")
        assert word not in _FORBIDDEN, word
        assert not word.startswith("on"), word
        pairs.append(f' {word}="{escape(printable(str(value)))}"')
    start = f"<{name}{''.join(pairs)}>"
    if name in _VOID:
        return Markup(start)
    return Markup(f"{start}{''.join(map(text, children))}</{name}>")


def link(target: str, *children: object) -> Markup:
    """A link inside of this page."""
    assert target.startswith("/ui"), target
    return element("a", *children, href=target)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "none") -> Markup:
    """Rows under heads; on a narrow screen it scrolls by itself."""
    lines = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    if not lines:
        return element("p", empty, class_="empty")
    head = element("thead", element("tr", *(element("th", each, scope="col") for each in heads)))
    return element("div", element("table", head, element("tbody", *lines)), class_="scroll")


def bar(start: float, width: float, kind: str, label: str) -> Markup:
    """A piece of a line of 100; ``kind`` is done, failed or running."""
    start = min(max(start, 0.0), 99.5)
    rect = element("rect", x=f"{start:.2f}", y=0, width=f"{min(max(width, 0.5), 100 - start):.2f}", height=10)
    return element(
        "svg",
        rect,
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_=f"bar {kind.replace(' ', '-')}",
        role="img",
        aria_label=label,
    )
