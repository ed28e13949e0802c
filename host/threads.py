"""Threads for calls that may take very long, or never come back.

Python waits for the threads of concurrent.futures before the process may end; for these it does not.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


Deliver = Callable[[], None]
Job = Callable[[], Deliver]
_SPARE = 2  # threads that wait for the next call: to start one costs a tenth of a millisecond


class DetachedThreads:
    """Runs each call in a thread that does nothing else meanwhile, ``limit`` at once; later ones wait for
    their turn.

    A call that hangs, as one on a network file system whose server is gone does, keeps its turn until it
    comes back, and takes nothing from other pools. It does not keep the process from ending: SIGKILL ends
    such a wait in the kernel, and so does the exit of the process.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._turns = asyncio.Semaphore(limit)
        self.waiting = 0  # calls that have no turn yet
        self._idle: list[SimpleQueue[Job]] = []

    async def run(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises. Who is cancelled stops waiting; the thread goes on."""
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        future: Future[T] = Future()
        running = asyncio.wrap_future(future)
        running.add_done_callback(self._is_done)
        try:
            self._hand_over(partial(_settle, future, function))
        except RuntimeError as error:  # the system has no thread for us
            future.set_exception(error)
        return await asyncio.shield(running)

    def _is_done(self, running: "asyncio.Future[T]") -> None:
        self._turns.release()
        if not running.cancelled():
            running.exception()  # of one that nobody waits for any more, asyncio would complain

    def _hand_over(self, job: Job) -> None:
        try:
            waiting = self._idle.pop()
        except IndexError:
            jobs: SimpleQueue[Job] = SimpleQueue()
            jobs.put(job)  # not among the arguments, which a thread keeps until its end
            threading.Thread(target=self._work, args=(jobs,), name=self._name, daemon=True).start()
        else:
            waiting.put(job)

    def _work(self, jobs: SimpleQueue[Job]) -> None:
        while True:
            deliver = jobs.get()()
            stays = len(self._idle) < _SPARE
            if stays:  # before who waits is told, who may call again at once
                self._idle.append(jobs)
            deliver()
            del deliver  # with the result, before it waits
            if not stays:
                return


def _settle(future: "Future[T]", function: Callable[[], T]) -> Deliver:
    try:
        result = function()
    except BaseException as error:  # handed to who waits
        return partial(future.set_exception, error)
    return partial(future.set_result, result)
