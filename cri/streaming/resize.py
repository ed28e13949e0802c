"""The resize stream: JSON objects {"Width": w, "Height": h}, one after another, cut anywhere."""

import json
from dataclasses import dataclass
from typing import Final

_LONGEST_BYTES: Final = 1024
_MOST_OF_A_PIECE: Final = 16  # only the latest counts, and a piece may be made of closing braces alone
_LARGEST: Final = 0xFFFF  # struct winsize holds 16 bits


@dataclass(frozen=True, slots=True)
class Size:
    """Of a terminal, in characters."""

    width: int
    height: int


class ResizeReader:
    """Gathers the objects; what is no size is skipped, since a wrong size must not end a session."""

    def __init__(self) -> None:
        self._buffer = b""

    def receive(self, data: bytes) -> list[Size]:
        """The sizes that are complete now."""
        # An object has no braces inside, so its closing brace ends it; an endless one is not kept.
        *objects, rest = (self._buffer + data).split(b"}")
        self._buffer = rest[-_LONGEST_BYTES:]
        sizes = [_parse(text + b"}") for text in objects[-_MOST_OF_A_PIECE:]]
        return [size for size in sizes if size]


def _parse(text: bytes) -> Size | None:
    try:
        document = json.loads(text[-_LONGEST_BYTES:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    folded = {str(key).lower(): value for key, value in document.items()}
    width, height = folded.get("width"), folded.get("height")
    if type(width) is not int or type(height) is not int:
        return None
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
        return None
    return Size(width, height)
