"""JSON of strangers: bounded before it is parsed, and read in one way only.

A value of two bytes in a document is an object of fifty and a pointer in memory, so a bound on bytes is none
on memory: values and depth are counted in the bytes. What readers may understand in two ways is refused,
since a digest shall have one meaning: a name twice in an object, NaN, another encoding than UTF-8.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from api.errors import InvalidArgument

DEPTH_LIMIT = 64
# A string to its end, or to the end of the data: every byte is looked at once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class BadJson(InvalidArgument):
    """Not JSON, or more of it than is taken."""


def bounded_json(data: bytes, what: str, *, values: int) -> Any:
    """The document in ``data``; ``what`` names it in errors, ``values`` bounds everything in it.

    Raises:
        BadJson: as said above.
    """
    # Every value or name takes two quotation marks, escaped ones apart; there may be a name for each value.
    if data.count(b'"') - data.count(b'\\"') > 4 * values:
        raise BadJson(f"{what} of more than {values} values")
    structure = data
    if data.count(b",") + data.count(b"[") + data.count(b"{") >= min(values, DEPTH_LIMIT):
        structure = _STRING.sub(b"", data)  # they may hold any number of commas and brackets
    count = 1 + sum(structure.count(mark) for mark in (b",", b"[", b"{"))
    if count > values:
        raise BadJson(f"{what} of more than {values} values")
    if _depth(structure.translate(None, _ALL_BUT_BRACKETS)) > DEPTH_LIMIT:
        raise BadJson(f"{what} is nested more than {DEPTH_LIMIT} deep")
    try:
        return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except BadJson as error:
        raise BadJson(f"{what}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadJson(f"{what} is not JSON: {error}") from error


def _depth(brackets: bytes) -> int:
    deepest = depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BadJson("a name stands twice in one object")
    return result


def _refuse_constant(text: str) -> float:
    raise BadJson(f"{text} is no JSON number")
