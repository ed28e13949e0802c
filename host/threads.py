"""Threads for calls that may take very long, or never come back.

Python waits for the threads of concurrent.futures before the process may end; for these it does not.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class DetachedThreads:
    """Runs each call in a thread of its own, ``limit`` at once; later ones wait for their turn.

    A call that hangs, as one on a network file system whose server is gone does, keeps its turn until it
    comes back, and takes nothing from other pools. It does not keep the process from ending: SIGKILL ends
    such a wait in the kernel, and so does the exit of the process.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._turns = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises. Who is cancelled stops waiting; the thread goes on."""
        await self._turns.acquire()
        future: Future[T] = Future()
        running = asyncio.wrap_future(future)
        running.add_done_callback(lambda _: self._turns.release())
        try:
            threading.Thread(target=_settle, args=(future, function), name=self._name, daemon=True).start()
        except RuntimeError as error:  # the system has no thread for us
            future.set_exception(error)
        return await asyncio.shield(running)


def _settle(future: "Future[T]", function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # handed to who waits
        future.set_exception(error)
