"""Pulls in flight, and who waits for them.

Who asks for the same on the same terms joins the pull that runs. Terms are everything that decides how it
ends: the name, the credentials, what the files say (registries.conf, policy.json) and the options. They are
compared as values and never shown: logs and tasks name the reference alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import DeadlineExceeded
from storage.catalogue import Image
from storage.options import Options
from storage.registry.auth import Credentials
from storage.registry.namespaced import AuthText
from storage.registry.registries_conf import Registries

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from storage.progress import Watch
    from storage.signatures.policy import Policy

Work = Callable[["Watch"], Awaitable[Image]]


class PullTookTooLong(DeadlineExceeded):
    """A pull passed its deadline."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that decides how a pull ends, but for what the registry answers."""

    reference: str
    credentials: Credentials | None
    registries: Registries
    policy: "Policy"
    auth_files: Sequence[Path]
    options: Options
    own_auth: AuthText | None = None  # stands in for ``auth_files``


class Pulls:
    """The pulls of one store."""

    def __init__(self) -> None:
        self._running: list[_Running] = []
        self._tasks: set[asyncio.Task[Image]] = set()

    async def run(self, terms: Terms, work: Work, watch: Callable[[], "Watch"] | None = None) -> Image:
        """Do ``work`` as the one pull on these terms, watched, or join the one that runs.

        A caller that goes away does not end it, but when all have gone and nobody comes back within
        ``abandoned_s`` it is cancelled, and so is one that takes longer than ``pull_deadline_s``.

        Raises:
            PullTookTooLong, and what ``work`` raises.
        """
        running = next((each for each in self._running if each.terms == terms), None)
        if running is None:
            running = self._start(terms, work, watch)
        return await running.wait(terms.options.abandoned_s, self._abandon)

    def references(self) -> list[str]:
        """What is being pulled, oldest first."""
        return [running.terms.reference for running in self._running]

    async def close(self) -> None:
        """Cancel what runs, and wait until it has undone what it made."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, terms: Terms, work: Work, watch: Callable[[], "Watch"] | None) -> "_Running":
        from storage.progress import Unwatched  # many daemons never pull

        seen = Unwatched() if watch is None else watch()
        in_time = _in_time(lambda: work(seen), terms.options.pull_deadline_s)
        running = _Running(terms, asyncio.create_task(in_time, name=f"pull {terms.reference}"), seen)
        task = running.task
        self._running.append(running)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._ended(running))
        return running

    def _abandon(self, running: "_Running") -> None:
        """Nobody waits: whoever comes from now on begins anew."""
        log.warning("pull given up, nobody waits for it reference=%s", running.terms.reference)
        self._forget(running)
        running.task.cancel()

    def _ended(self, running: "_Running") -> None:
        self._tasks.discard(running.task)
        running.stop_clock()
        self._forget(running)
        cancelled = running.task.cancelled()
        error = asyncio.CancelledError() if cancelled else running.task.exception()
        running.watch.ended(error)
        if error is not None and not cancelled:
            log.warning("pull failed reference=%s error=%s", running.terms.reference, error)

    def _forget(self, running: "_Running") -> None:
        self._running = [each for each in self._running if each is not running]


class _Running:
    """A pull in flight, and how many wait for it."""

    def __init__(self, terms: Terms, task: asyncio.Task[Image], watch: "Watch") -> None:
        self.terms = terms
        self.task = task
        self.watch = watch
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, abandoned_s: float, abandon: Callable[["_Running"], None]) -> Image:
        """Its image; ``abandon`` is called when this was the last to wait and none has come since."""
        self.stop_clock()
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self.task.done():
                self._timer = asyncio.get_running_loop().call_later(abandoned_s, abandon, self)

    def stop_clock(self) -> None:
        """Let the clock of an abandoned pull stand still."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _in_time(work: Callable[[], Awaitable[Image]], deadline_s: float) -> Image:
    limit = asyncio.timeout(deadline_s or None)
    try:
        async with limit:
            return await work()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise PullTookTooLong(f"the pull was not done after {deadline_s:g} s; layers were undone") from error
