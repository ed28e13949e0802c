"""What the command line prints, and the only place that prints: ruff refuses ``print`` in its other modules.

Names, errors and subjects come from images, registries and pods: what would act on the terminal is escaped.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TextIO

from api.text import printable

NO_COLOURS: Mapping[str, str] = MappingProxyType({})


def reason(error: OSError) -> str:
    """What failed, and why, without the number."""
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


RED, YELLOW, GREEN = "31", "33", "32"


def say(line: str, file: TextIO | None = None, colours: Mapping[str, str] = NO_COLOURS) -> None:
    """One line on standard output, or on ``file``, whatever ``line`` has in it.

    A first word that is in ``colours`` gets its colour, on a terminal (https://no-color.org).
    """
    text = printable(line)
    word = text.partition(" ")[0]
    if word in colours and _is_colourful(file or sys.stdout):
        text = f"\x1b[{colours[word]}m{word}\x1b[0m{text.removeprefix(word)}"
    print(text, file=file)


def _is_colourful(file: TextIO) -> bool:
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def say_lines(text: str) -> None:
    """Text whose line feeds are its own, on standard output; it ends as it ends."""
    print("\n".join(printable(line) for line in text.split("\n")), end="")


def show(form: str, document: object, lines: Iterable[str], colours: Mapping[str, str] = NO_COLOURS) -> None:
    """``document`` (of JSON's types) as "json" or "yaml", or ``lines`` for people."""
    if form == "json":
        say_lines(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif form == "yaml":
        import yaml  # costs the other forms time

        say_lines(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    else:
        for line in lines:
            say(line, colours=colours)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines of columns under their heads, each as wide as its widest cell; the last one as it comes."""
    cells = [tuple(heads), *(tuple(printable(str(cell)) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "   ".join(padded).rstrip()


def warn(line: str) -> None:
    """One line on standard error."""
    say(line, sys.stderr)


def draw(lines: Iterable[str]) -> None:
    """A whole screen, in the place of the one before; as much of it as there is room for."""
    columns, rows = shutil.get_terminal_size()
    shown = [printable(line)[: columns - 1] for line in lines][: rows - 1]
    print("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J", end="", flush=True)


def redraw(lines: Sequence[str], drawn: int) -> None:
    """Lines on standard error, in the place of the ``drawn`` ones that stand last there."""
    columns, rows = shutil.get_terminal_size()
    shown = [printable(line)[: columns - 1] for line in lines][: rows - 1]
    up = f"\x1b[{min(drawn, rows - 1)}A\r" if drawn else ""
    print(up + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J", end="", file=sys.stderr, flush=True)
