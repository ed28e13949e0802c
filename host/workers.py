"""A pool of threads that grows with its calls, and shrinks again.

    no thread ──call──▶ working ──done, others wait──▶ working
                          │  ▲
                     done │  │ the next call goes to who has waited for the shortest time
                          ▼  │
                         idle ──nobody wanted it for IDLE_S──▶ ended

The standard library's pool keeps what its busiest moment needed, for ever: each thread a stack, and what its
arena of the C library's allocator has once held.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

IDLE_S = 10.0


class Workers(ThreadPoolExecutor):
    """At most ``limit`` threads; nothing but the type is the parent's, which asyncio insists on.

    Whoever makes one shuts it down: the end of the process does not wait for its threads.
    """

    def __init__(self, limit: int, name: str, idle_s: float = IDLE_S) -> None:
        """No thread is started yet."""
        super().__init__(limit, name)
        self._limit = limit
        self._name = name
        self._idle_s = idle_s
        self._guard = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._idle: list[SimpleQueue[_Call | None]] = []
        self._alive: set[threading.Thread] = set()
        self._is_shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """What a thread will do, in the order of the calls.

        Raises:
            RuntimeError: it has been shut down, or the system has no thread for us.
        """
        future: Future[T] = Future()

        def call() -> None:
            _carry_out(future, lambda: fn(*args, **kwargs))

        with self._guard:
            if self._is_shut:
                raise RuntimeError(f"the threads of {self._name} have been shut down")
            self._give(_Call(future, call))
        return future

    def _give(self, call: "_Call") -> None:
        if self._idle:
            self._idle.pop().put(call)
        elif len(self._alive) < self._limit:
            self._start(call)
        else:
            self._waiting.append(call)

    def _start(self, call: "_Call") -> None:
        own: SimpleQueue[_Call | None] = SimpleQueue()
        own.put(call)  # not among the arguments, which a thread keeps until its end
        thread = threading.Thread(target=self._work, args=(own,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._alive:
                raise
            self._waiting.append(call)  # the others will come to it
        else:
            self._alive.add(thread)

    def _work(self, own: "SimpleQueue[_Call | None]") -> None:
        call = own.get()
        while call is not None:
            call.carry_out()
            del call  # with what it holds, before there is another
            call = self._next(own)

    def _next(self, own: "SimpleQueue[_Call | None]") -> "_Call | None":
        """The next call for this thread; None: it ends."""
        with self._guard:
            if self._waiting:
                return self._waiting.popleft()
            if self._is_shut:
                return None
            self._idle.append(own)
        try:
            return own.get(timeout=self._idle_s)
        except Empty:
            return self._last_word(own)

    def _last_word(self, own: "SimpleQueue[_Call | None]") -> "_Call | None":
        """It is counted no more from the moment on in which no call can come to it."""
        with self._guard:
            if own in self._idle:
                self._idle.remove(own)
                self._alive.discard(threading.current_thread())
                return None
        return own.get()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Those that were taken are carried out, or else those that run."""
        with self._guard:
            self._is_shut = True
            if cancel_futures:
                for call in self._waiting:
                    call.future.cancel()
                self._waiting.clear()
            while self._idle:
                self._idle.pop().put(None)
            alive = list(self._alive)
        for thread in alive if wait else ():
            thread.join()


class _Call:
    __slots__ = ("carry_out", "future")

    def __init__(self, future: "Future[T]", carry_out: Callable[[], None]) -> None:
        self.future = future
        self.carry_out = carry_out


def _carry_out(future: "Future[T]", function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # handed to who waits
        future.set_exception(error)
    else:
        future.set_result(result)
