"""Reading a command line by a table of its options. argparse would take as long as all the rest."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from oci.run.errors import BadConfig


class Usage(BadConfig):
    """These words are no command."""


class Option(NamedTuple):
    """``names`` without dashes, the first for the result; one that ``takes`` a value may come ``again``."""

    names: tuple[str, ...]
    takes: bool = True
    again: bool = False


class Words:
    """What was given: values by option, and the other words in their order."""

    def __init__(self, values: Mapping[str, Sequence[str]], rest: Sequence[str]) -> None:
        self._values = values
        self.rest = list(rest)

    def text(self, name: str, default: str = "") -> str:
        """The last value."""
        return self._values[name][-1] if self._values.get(name) else default

    def has(self, name: str) -> bool:
        """Whether it was given; a switch may say ``=false``."""
        return bool(self._values.get(name)) and self._values[name][-1] != "false"

    def all(self, name: str) -> list[str]:
        """Every value."""
        return list(self._values.get(name, ()))

    def number(self, name: str, default: int = 0) -> int:
        """
        Raises:
            Usage: it is none.
        """
        text = self.text(name)
        if not text:
            return default
        try:
            return int(text)
        except ValueError:
            raise Usage(f"--{name}: {text!r} is no number") from None


def parse(words: Sequence[str], options: Sequence[Option], *, mixed: bool = True) -> Words:
    """Options end at ``--``, and unless they may be ``mixed`` with others at the first word that is none.

    Raises:
        Usage: an option that is not in the table, or one without its value.
    """
    known = {name: option for option in options for name in option.names}
    values: dict[str, list[str]] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += left
            break
        if word == "-" or not word.startswith("-") or (rest and word[1:].isdecimal()):
            rest.append(word)
            if not mixed:
                rest += left
                break
            continue
        name, equals, value = word.lstrip("-").partition("=")
        option = known.get(name)
        if option is None:
            raise Usage(f"flag provided but not defined: -{name}")
        if option.takes and not equals:
            if not left:
                raise Usage(f"flag needs an argument: -{name}")
            value = left.pop(0)
        values.setdefault(option.names[0], []).append(value if option.takes or equals else "true")
    return Words(values, rest)
