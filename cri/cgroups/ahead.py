"""The kernel's wait before a move into a cgroup, begun while a container is still being described.

A runtime moves what it has made into its cgroup, and the first such move after a pause waits for an RCU grace
period, 10 to 20 ms: the longest part of a container's creation. Moves that come within a grace period after
another do not wait. So a verb that ends in one says so at its beginning, and a move that changes nothing is
made beside its first steps (docs/adr/0025-cgroup-moves-begun-early.md).
"""

import asyncio
from collections.abc import Callable


class MovesAhead:
    """Has the kernel get ready for moves, once at a time."""

    def __init__(self, stay: Callable[[], None] = lambda: None) -> None:
        """``stay`` makes a move that changes nothing, and may block for a grace period."""
        self._stay = stay
        self._under_way: asyncio.Future[None] | None = None

    def expect(self) -> None:
        """A move comes soon. Returns at once; errors are nobody's: the move itself just waits longer."""
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().run_in_executor(None, self._stay)
            self._under_way.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[None]) -> None:
        self._under_way = None
        if not future.cancelled():
            future.exception()
