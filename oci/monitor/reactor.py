"""The monitor's event loop: epoll, timers, and the rule that one callback's failure is nobody else's."""

import heapq
import itertools
import json
import os
import select
import stat
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
Callback = Callable[[], object]
_LOG_BYTES = 1 << 20
# epoll counts milliseconds in 32 bits, which are 24 days; a timer may be further away.
_LONGEST_WAIT_S = 24 * 3600.0


def complain(what: str, *, trace: bool = False) -> None:
    """Report on standard error, the monitor's log file; ``trace`` adds the exception being handled."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = f"time={stamp} level=error msg={json.dumps(what)}\n"
    if trace:
        text += traceback.format_exc()
    try:
        _bound_log()
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        return  # a full disk must not end the monitor


def _bound_log() -> None:
    """Begin the log file anew when it is large: what is complained of may be a stranger's doing."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return
    if stat.S_ISREG(found.st_mode) and found.st_size > _LOG_BYTES:
        os.ftruncate(sys.stderr.fileno(), 0)


class Timer:
    """A call that will be made later, unless cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        """Made by :meth:`Reactor.later`."""
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Do not call; idempotent."""
        self.callback = None


class Reactor:
    """Watches descriptors and the clock, in one thread."""

    def __init__(self) -> None:
        """Nothing watched yet."""
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._soon: deque[Callback] = deque()
        self._numbers = itertools.count()
        self._running = False

    def watch(self, descriptor: int, events: int, callback: Callback) -> None:
        """Call ``callback`` whenever ``descriptor`` is ready for ``events``; replaces an earlier watch."""
        if descriptor in self._callbacks:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._callbacks[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        """Stop watching; before the descriptor is closed. Idempotent."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, delay_s: float, callback: Callback) -> Timer:
        """Call once after a delay."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._numbers), timer))
        return timer

    def soon(self, callback: Callback) -> None:
        """Call after the callbacks of this round."""
        self._soon.append(callback)

    @property
    def owes_calls(self) -> bool:
        """Whether something is to be called soon: an end that has been seen and not told yet, perhaps."""
        return bool(self._soon)

    def stop(self) -> None:
        """Leave :meth:`run` after this round."""
        self._running = False

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        self._running = True
        while self._running:
            self.turn()

    def turn(self, first: Callback | None = None) -> None:
        """One round: wait for something to do, then do all of it, after ``first``."""
        ready = self._epoll.poll(self._patience())
        if first is not None:
            self._call(first)
        for descriptor, _ in ready:
            callback = self._callbacks.get(descriptor)  # a callback before may have ended this watch
            if callback is not None:
                self._call(callback)
        self._run_timers()
        for _ in range(len(self._soon)):
            self._call(self._soon.popleft())

    def _patience(self) -> float:
        if self._soon:
            return 0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        return min(max(0.0, self._timers[0][0] - time.monotonic()), _LONGEST_WAIT_S)

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                self._call(callback)

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            complain("callback failed", trace=True)

    def close(self) -> None:
        """Release the epoll descriptor."""
        self._epoll.close()
