"""Objects whose records cannot be read or shown: left out of every answer, while all others are served.

One odd number or text in one record, whoever wrote it, must not take the lists from the kubelet, or the
daemon from the node. What is held here is in the log once, in ``podwright check``, and goes when it is
removed by its id.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cri.store import Record

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Quarantine:
    """What is left out, by kind (``sandbox``, ``container``) and id, with the reason."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Kind, id and reason of each."""
        return iter([(kind, identifier, why) for (kind, identifier), why in self._held.items()])

    def add(self, kind: str, identifier: str, why: str) -> None:
        """Note that an answer was given without it; the log tells of it the first time."""
        if (kind, identifier) not in self._held:
            self._held[kind, identifier] = why
            logger.error("%s %s is left out of what is served: %s", kind, ascii(identifier)[1:13], why)

    def discard(self, kind: str, identifier: str) -> None:
        """Forget it; one that is not held is fine."""
        self._held.pop((kind, identifier), None)

    def find(self, kind: str, text: str) -> str | None:
        """The one id that this is, or the beginning of."""
        if not text:
            return None
        found = [identifier for of, identifier in self._held if of == kind and identifier.startswith(text)]
        return found[0] if len(found) == 1 else None

    def rendered(self, kind: str, objects: Iterable[R], render: Callable[[R], T]) -> list[T]:
        """The messages of ``objects``, without those of which none can be made."""
        messages = []
        for one in objects:
            try:
                messages.append(render(one))
            except Exception as error:
                self.add(kind, one.id, f"{type(error).__name__}: {error}")
        return messages
