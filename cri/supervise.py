"""Work in the background: an error of one object is that object's, and never the daemon's end.

    forever(name, work)   a service of the daemon: begun anew when it fails or ends
    until_done(key, work) one thing to do for one object: again until it succeeds, later and later

    waiting ──▶ at work ──done──▶ forgotten
       ▲           └──failed──▶ in trouble, listed with its error ──a pause that doubles──▶ at work

One key is worked on by one task at a time. What is in trouble is in ``troubles``: Status, ``podwright ops``
and ``podwright check`` show it. ``note`` lists what cannot be repaired by trying again, until ``clear``.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[object]]

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 300.0
# Of an error's text: it may quote what a stranger's program printed.
_TEXT_LIMIT = 1000


@dataclass(slots=True)
class Trouble:
    """What does not work, since when (seconds since the epoch), and how often it was tried."""

    key: str
    error: str
    tries: int = 1
    since_s: float = field(default_factory=time.time)


class Supervisor:
    """All background work of the daemon. ``close`` ends it."""

    def __init__(
        self, first_pause_s: float = FIRST_PAUSE_S, longest_pause_s: float = LONGEST_PAUSE_S
    ) -> None:
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, Work] = {}
        self._troubles: dict[str, Trouble] = {}

    def __len__(self) -> int:
        """How many things are still to be done, services not among them."""
        return len(self._next)

    def troubles(self) -> list[Trouble]:
        """What does not work now, the oldest first."""
        return sorted(self._troubles.values(), key=lambda trouble: trouble.since_s)

    def note(self, key: str, error: BaseException | str) -> None:
        """Something of this key failed; said once in the log for each new text."""
        text = describe(error)
        known = self._troubles.get(key)
        if known is None:
            self._troubles[key] = Trouble(key, text)
        else:
            known.tries += 1
        if known is None or known.error != text:
            self._troubles[key].error = text
            logger.warning("%s: %s", key, text)

    def clear(self, key: str) -> None:
        """All is well with this key; none in trouble is fine."""
        trouble = self._troubles.pop(key, None)
        if trouble is not None:
            logger.info("%s: well again after %d failures", key, trouble.tries)

    def forever(self, name: str, work: Work) -> None:
        """Run ``work``, which does not end by itself, and again whenever it does."""
        self._begin(name, lambda: self._serve(name, work))

    def until_done(self, key: str, work: Work) -> None:
        """Run ``work`` until it succeeds once; it must bear repetition.

        One that is given while the key's former work runs or waits takes its place.
        """
        self._next[key] = work
        if key not in self._tasks:
            self._begin(key, lambda: self._try(key))

    async def attempt(self, key: str, work: Work) -> bool:
        """Run ``work`` now; if it fails, leave it to ``until_done``. Whether it succeeded."""
        try:
            await work()
        except Exception as error:
            self._failed(key, error)
            self.until_done(key, work)
            return False
        self.clear(key)
        return True

    async def first_tries(self, works: Mapping[str, Work], patience_s: float) -> None:
        """``until_done`` for all at once; returns when each was tried once, or after ``patience_s``."""
        tried = [self._once(key, work) for key, work in works.items()]
        if tried:
            await asyncio.wait(tried, timeout=patience_s)

    def _once(self, key: str, work: Work) -> asyncio.Future[None]:
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def try_it() -> None:
            try:
                await work()
            finally:
                if not tried.done():
                    tried.set_result(None)

        self.until_done(key, try_it)
        return tried

    def cancel(self, key: str) -> None:
        """Stop trying, and forget the trouble; an unknown key is fine."""
        self._next.pop(key, None)
        self._troubles.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Cancel everything and wait for its end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: str, run: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            await run()

        task = self._tasks[key] = asyncio.create_task(guarded(), name=key)
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s ended by an error that nothing foresaw", key, exc_info=error)
        if key in self._next and key not in self._tasks and not task.cancelled():
            self._begin(key, lambda: self._try(key))

    async def _serve(self, name: str, work: Work) -> None:
        pause_s = self._first_pause_s
        while True:
            begun = time.monotonic()
            try:
                await work()
                self.note(name, "ended, and is begun anew")
            except Exception as error:
                self._failed(name, error)
            if time.monotonic() - begun > self._longest_pause_s:
                pause_s = self._first_pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._longest_pause_s)

    async def _try(self, key: str) -> None:
        pause_s = self._first_pause_s
        if key in self._troubles:
            await asyncio.sleep(pause_s)
        while (work := self._next.get(key)) is not None:
            try:
                await work()
            except Exception as error:
                self._failed(key, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._longest_pause_s)
                continue
            if self._next.get(key) is work:
                del self._next[key]
                self.clear(key)

    def _failed(self, key: str, error: Exception) -> None:
        if key not in self._troubles:
            logger.debug("%s failed", key, exc_info=error)
        self.note(key, error)


def describe(error: BaseException | str) -> str:
    """An error's words, of bounded length; a class without words by its name."""
    if isinstance(error, str):
        return error[:_TEXT_LIMIT]
    text = str(error) or type(error).__name__
    return text[:_TEXT_LIMIT]
