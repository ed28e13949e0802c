"""Objects of JSON whose keys are all known: what has a further one, or one of another type, is refused.

A reader that passes over what it does not know accepts what its author meant to refuse.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from storage.bounded_json import BadJson, bounded_json

T = TypeVar("T")


class Malformed(ValueError):
    """A document has not the form that it must have."""


def document(data: bytes, what: str, *, values: int) -> "Table":
    """The one object in ``data``, bounded and without names that stand twice.

    Raises:
        Malformed: it is something else.
    """
    try:
        return Table(bounded_json(data, what, values=values), what)
    except BadJson as error:
        raise Malformed(str(error)) from error


def base64_bytes(text: str, what: str) -> bytes:
    """Standard base64, in lines too.

    Raises:
        Malformed: it is something else.
    """
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{what} is not base64") from error


class Table:
    """An object; each reader takes a key out, and ``end`` refuses what nobody took."""

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{what} is no object")
        self._left: dict[str, Any] = dict(value)
        self.what = what

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str) -> Any:
        """The value of a key, which must be there."""
        if key not in self._left:
            raise Malformed(f"{self.what} has no {key!r}")
        return self._left.pop(key)

    def _typed(self, key: str, kind: type[T], name: str) -> T:
        value = self.take(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Malformed(f"{self.what}: {key} is no {name}")
        return value

    def text(self, key: str) -> str:
        """A string of characters that can be written: JSON has escapes for halves of some."""
        value = self._typed(key, str, "string")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Malformed(f"{self.what}: {key} is no UTF-8") from error
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings that has at least one."""
        values = self._typed(key, list, "list")
        if not values or not all(isinstance(value, str) for value in values):
            raise Malformed(f"{self.what}: {key} is no list of one string or more")
        return tuple(values)

    def integer(self, key: str) -> int:
        """A whole number that is not negative; protojson writes it as a string."""
        value = self.take(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise Malformed(f"{self.what}: {key} is no whole number")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false; ``default`` when it is missing."""
        value = self._left.pop(key, default)
        if not isinstance(value, bool):
            raise Malformed(f"{self.what}: {key} is neither true nor false")
        return value

    def data(self, key: str) -> bytes:
        """Bytes, written in base64."""
        return base64_bytes(self.text(key), f"{self.what}: {key}")

    def datas(self, key: str) -> tuple[bytes, ...]:
        """A list of bytes that has at least one."""
        return tuple(base64_bytes(text, f"{self.what}: {key}") for text in self.texts(key))

    def has_items(self, key: str) -> bool:
        """Whether a list is there and not empty; protojson leaves empty ones out, others write them."""
        return bool(self._left.get(key))

    def table(self, key: str) -> "Table":
        """An object inside."""
        return Table(self.take(key), f"{self.what}: {key}")

    def tables(self, key: str, limit: int) -> tuple["Table", ...]:
        """A list of objects, empty when the key is missing."""
        values = self._left.pop(key, [])
        if not isinstance(values, list) or len(values) > limit:
            raise Malformed(f"{self.what}: {key} is no list of at most {limit}")
        return tuple(Table(value, f"{self.what}: {key}[{number}]") for number, value in enumerate(values))

    def one_of(self, keys: Iterable[str], *, needed: bool = True) -> str | None:
        """Which of the keys is there: exactly one of them, or, if not ``needed``, none.

        Raises:
            Malformed: several are, or none.
        """
        wanted = list(keys)
        found = [key for key in wanted if key in self._left]
        if len(found) > 1 or (needed and not found):
            number = "exactly" if needed else "at most"
            raise Malformed(f"{self.what} must have {number} one of {', '.join(wanted)}")
        return found[0] if found else None

    def rest(self) -> Mapping[str, Any]:
        """What nobody took; nothing is left then."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        """
        Raises:
            Malformed: there is a key that nobody knows.
        """
        if self._left:
            raise Malformed(f"{self.what}: unknown key {', '.join(map(repr, sorted(self._left)[:5]))}")
