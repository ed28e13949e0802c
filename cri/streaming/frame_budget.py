"""How many frames that carry nothing a peer may send: pings, empty pieces, settings, refused streams.

A bucket of ``burst`` that refills at ``per_second``. Clients ping every few seconds and never come near it;
one that floods is cut off after a moment's work.
"""

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 10_000
PER_SECOND: Final = 1_000.0
# Frames after which a machine without I/O lets others have a turn, about a millisecond's work.
FRAMES_PER_TURN: Final = 64
TOO_MANY: Final = "too many frames that carry nothing"


class FrameBudget:
    """One connection's."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        burst: float = BURST,
        per_second: float = PER_SECOND,
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._seen_s = clock()

    def spend(self, cost: float = 1.0) -> bool:
        """Take ``cost``; False when there is not so much left, and the peer is to be parted with."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen_s) * self._per_second) - cost
        self._seen_s = now
        return self._left >= 0
