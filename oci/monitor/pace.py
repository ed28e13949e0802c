"""How fast output is read: not woken for every byte of a flood, and no faster than a container's rate."""

import time
from collections.abc import Callable

_SMALL_BYTES = 4096  # whoever brings more at a time is worth being woken for
_STREAK_S = 0.005  # rounds closer to each other than this are a flood's
_REST_FACTOR = 3  # rest for so many times what a round took: small pieces cost a quarter of a processor
_REST_MIN_S, _REST_MAX_S = 0.001, 0.02


class Pace:
    """Tells, after each round of reading, how long to leave the pipes alone so that they gather more.

    A program that writes single bytes would otherwise cost a read, a log line and a write for each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Quiet until now."""
        self._clock = clock
        self._began = self._ended = clock()
        self._reads = 0
        self._largest = 0

    def note(self, length: int) -> None:
        """So many bytes were read at once."""
        self._reads += 1
        self._largest = max(self._largest, length)

    def begin(self) -> None:
        """A round begins."""
        self._began = self._clock()
        self._reads = self._largest = 0

    def rest_s(self) -> float:
        """The round is over: how long to rest; 0 unless it was one of many that brought little."""
        now = self._clock()
        is_streak = self._began - self._ended < _STREAK_S
        rest_s = 0.0
        if self._reads and self._largest < _SMALL_BYTES and is_streak:
            rest_s = min(max(_REST_FACTOR * (now - self._began), _REST_MIN_S), _REST_MAX_S)
        if self._reads:
            self._ended = now + rest_s
        return rest_s


class Allowance:
    """A container's bytes per second, all its streams together; a second's worth may come at once."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``rate`` of 0 means no limit."""
        self._rate = rate
        self._clock = clock
        self._paid_until = 0.0

    def spend(self, length: int) -> float:
        """So much was read: the seconds until more may be."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._paid_until = max(self._paid_until, now - 1.0) + length / self._rate
        return max(0.0, self._paid_until - now)
