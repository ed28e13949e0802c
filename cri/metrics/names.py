"""Labels out of words that are made for people: few, whatever the node does.

A time series lives as long as the daemon. What a step's name says of one object, or of how many, is cut; an
operation that has more kinds of steps than anybody foresaw gets one for the rest.
"""

import re

OTHER = "other"
MOST = 64

_ONE_OBJECT = re.compile(r"^(remove container|undo of|wait for)\b.*")
_NUMBER = re.compile(r"\b\d+ ")

SIZES = (
    (10 << 30, ">10 GiB"),
    (1 << 30, ">1 GiB"),
    (500 << 20, ">500 MiB"),
    (400 << 20, ">400 MiB"),
    (300 << 20, ">300 MiB"),
    (200 << 20, ">200 MiB"),
    (100 << 20, ">100 MiB"),
    (50 << 20, ">50 MiB"),
    (10 << 20, ">10 MiB"),
    (1 << 20, ">1 MiB"),
    (1 << 10, ">1 KiB"),
)


def step_label(name: str) -> str:
    """``remove container main`` and ``stop 3 containers`` without what changes from pod to pod."""
    return _NUMBER.sub("", _ONE_OBJECT.sub(r"\1", name))


def size_label(size_bytes: int) -> str:
    """CRI-O's classes of sizes."""
    return next((label for least, label in SIZES if size_bytes > least), ">0 B")


class Labels:
    """At most MOST values; all later ones are OTHER."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def bounded(self, value: str) -> str:
        if value not in self._known:
            if len(self._known) >= MOST:
                return OTHER
            self._known.add(value)
        return value
