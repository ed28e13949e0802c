"""CPU use as a rate, in billionths of a core, out of a counter that is looked at now and then."""

from dataclasses import dataclass

# Less than this tells more of the scheduler and of quotas than of the load.
LEAST_WINDOW_NS = 5_000_000_000
# The first rate of all, until there is a better one.
FIRST_WINDOW_NS = 500_000_000
_CORE = 1_000_000_000


@dataclass(slots=True)
class CpuRate:
    """Of one cgroup: the rate over the last window, however often and by how many callers it is asked for."""

    _since: tuple[int, int] | None = None
    _rate: int | None = None
    _is_first: bool = True

    def at(self, now_ns: int, usage_ns: int) -> int | None:
        """The rate, when ``usage_ns`` was the counter at ``now_ns``; None until there is one.

        A counter that went back, or a clock, begins anew.
        """
        if self._since is None or usage_ns < self._since[1] or now_ns < self._since[0]:
            self._since, self._rate, self._is_first = (now_ns, usage_ns), None, True
            return None
        elapsed = now_ns - self._since[0]
        if elapsed >= LEAST_WINDOW_NS or (self._is_first and elapsed >= FIRST_WINDOW_NS):
            self._rate = (usage_ns - self._since[1]) * _CORE // elapsed
            if elapsed >= LEAST_WINDOW_NS:
                self._since, self._is_first = (now_ns, usage_ns), False
        return self._rate
