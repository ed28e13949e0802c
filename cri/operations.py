"""Verbs in progress and ended: named, timed steps, and repeats that join the first call.

    run     a request that changes state, as a task of its own. A client that goes away only stops waiting;
            its repeat, which the kubelet sends under the same name, joins the running task instead of hearing
            that a name is reserved
    track   work that lives and ends with its caller (an ExecSync), or that another part carries out (a pull)
    note    what happened by itself in no time: a container's exit

Every operation knows its steps and how long each took, so that a slow or failed one can say where the time
went; who asks (``observe``) hears of each beginning, step and end. What has ended is remembered in a bounded
history (cri/history.py): the newest as they are, and the others, a batch at a time, as lines of JSON.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from cri.history import Document, History
    from storage.progress import Progress

logger = logging.getLogger(__name__)
T = TypeVar("T")

HISTORY_BYTES = 16 << 20
# So many are remembered as they are before they become lines of the history.
_BATCH = 64
# A step that failed after so long is named to the client, with its seconds.
_LONG_STEP_S = 1.0
_ERROR_CHARACTERS = 1000


@dataclass(slots=True, eq=False)
class Step:
    """One named part of an operation; seconds of the monotonic clock."""

    name: str
    started: float
    ended: float | None = None
    failed: bool = False

    def seconds(self, now: float) -> float:
        """What it took, or has taken until ``now``."""
        return (now if self.ended is None else self.ended) - self.started

    def describe(self, now: float) -> str:
        """``network 3.1 ms``, with what is special about it in parentheses."""
        remark = " (failed)" if self.failed else " (running)" if self.ended is None else ""
        return f"{self.name} {self.seconds(now) * 1000:.1f} ms{remark}"


class Observer(Protocol):
    """Hears of operations, from the event loop and at once; what it raises is logged, and ends nothing."""

    def started(self, operation: "Operation") -> None:
        """In the context of whoever asked first: its contextvars are there."""

    def step_ended(self, operation: "Operation", step: Step) -> None: ...

    def ended(self, operation: "Operation", error: BaseException | None) -> None: ...


@dataclass(slots=True, eq=False)
class Operation:
    """What a verb does to one subject, and how far it is.

    ``about`` says whose it is, by the fields of cri/subject.py; a verb adds the id of what it makes.
    """

    verb: str
    subject: str
    about: dict[str, object] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    steps: list[Step] = field(default_factory=list)
    began_ns: int = field(default_factory=time.time_ns)  # of the wall clock
    error: str = ""
    cut_short: bool = False  # cancelled: by its caller, or by the daemon's end
    asked: int = 1  # how often, with those who joined
    waiting: int = 0  # callers that are still there
    progress: "Progress | None" = None
    observers: tuple[Observer, ...] = ()
    id: str = ""  # in this life of the daemon, and not in the next one

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block under ``name``; names are words an operator understands."""
        step = Step(name, time.monotonic())
        self.steps.append(step)
        try:
            yield
        except BaseException:
            step.failed = True
            raise
        finally:
            step.ended = time.monotonic()
            for observer in self.observers:
                _tell(observer.step_ended, self, step)

    def seconds(self) -> float:
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def milliseconds(self) -> float:
        """What it took until now, for the log."""
        return round(self.seconds() * 1000, 1)

    def wall_ns(self, moment: float) -> int:
        """A moment of the monotonic clock, as nanoseconds since the epoch."""
        return self.began_ns + round((moment - self.started) * 1e9)

    def describe_steps(self) -> str:
        """``pin namespaces 1.4 ms, network 3.0 ms (running)``."""
        now = time.monotonic() if self.ended is None else self.ended
        return ", ".join(step.describe(now) for step in self.steps)

    def long_failure(self) -> str:
        """``in step "network" after 20 s``, when a step failed that took long; "" otherwise.

        Whole seconds: events with the same text are counted as one.
        """
        failed = [step for step in self.steps if step.failed and step.ended is not None]
        # The innermost of what failed first: steps around it, and those of the undo, come after it.
        step = min(failed, key=lambda one: one.ended or 0.0, default=None)
        if step is None or (took := step.seconds(0.0)) < _LONG_STEP_S:
            return ""
        return f'in step "{step.name}" after {took:.0f} s'


class Steps(str):
    """A note on an error that says how far its operation came: for the log, not for clients."""

    __slots__ = ()


Work = Callable[[Operation], Awaitable[T]]


class Operations:
    """The operations of the daemon: what runs, by key, and what has ended."""

    def __init__(self, slow_seconds: float, history_bytes: int = HISTORY_BYTES) -> None:
        self._slow_seconds = slow_seconds
        self._history_bytes = history_bytes
        self._running: dict[str, Operation] = {}  # by id, the oldest first
        self._tasks: dict[str, tuple[Operation, asyncio.Task[Any]]] = {}  # by key
        self._observers: tuple[Observer, ...] = ()
        self._recent: list[Operation] = []
        self._history: History | None = None
        self._last_id = 0

    def observe(self, observer: Observer) -> None:
        """Tell ``observer`` of every operation that begins from now on."""
        self._observers = (*self._observers, observer)

    def ignore(self, observer: Observer) -> None:
        """Tell it of no more that begin; one that was not told is fine."""
        self._observers = tuple(one for one in self._observers if one is not observer)

    def running(self) -> list[Operation]:
        """What runs now, oldest first."""
        return list(self._running.values())

    def past(self, word: str = "") -> "Iterator[Document]":
        """What has ended, newest first; of what is remembered as lines, only those with ``word`` in them."""
        for part in self.snapshot(word):
            yield from part

    def snapshot(self, word: str = "") -> "tuple[Iterator[Document], Iterator[Document]]":
        """``past`` in two parts, of now, that another thread may read: there is much of the second."""
        from cri.history import document

        recent = [document(operation) for operation in reversed(self._recent)]
        history = iter(()) if self._history is None else self._history.newest_first(word)
        return iter(recent), history

    def verbs_on(self, subject: str) -> set[str]:
        """The verbs that are at work on ``subject``."""
        return {operation.verb for operation in self.running() if operation.subject == subject}

    async def run(
        self, verb: str, subject: str, work: Work[T], about: Mapping[str, object] | None = None
    ) -> T:
        """Run ``work`` as the one operation of this verb and subject, or join the one that runs.

        Cancelling the caller does not cancel the work.
        """
        key = f"{verb} {subject}"
        known = self._tasks.get(key)
        if known is None:
            operation = self.begin(verb, subject, about)
            task = asyncio.create_task(self._carry_out(operation, work), name=key)
            self._tasks[key] = operation, task
            task.add_done_callback(lambda _: self._finished(key))
        else:
            operation, task = known
            operation.asked += 1
        operation.waiting += 1
        try:
            result: T = await asyncio.shield(task)
        except asyncio.CancelledError:
            operation.waiting -= 1
            raise
        return result

    @contextmanager
    def track(
        self, verb: str, subject: str, about: Mapping[str, object] | None = None
    ) -> Iterator[Operation]:
        """The block is an operation; any number of the same may run beside each other."""
        operation = self.begin(verb, subject, about)
        operation.waiting = 1
        try:
            yield operation
        except BaseException as error:
            _add_steps(operation, error)
            self.end(operation, error)
            raise
        self.end(operation, None)

    def note(self, verb: str, subject: str, about: Mapping[str, object], error: str = "") -> None:
        """Something that has happened, and took no time."""
        operation = self.begin(verb, subject, about)
        operation.ended, operation.error = operation.started, error
        self.end(operation, None)

    def begin(self, verb: str, subject: str, about: Mapping[str, object] | None = None) -> Operation:
        """An operation that somebody else carries out, and that ``end`` ends."""
        operation = Operation(verb, subject, dict(about or ()), observers=self._observers)
        self._last_id = max(self._last_id + 1, operation.began_ns // 1000)
        operation.id = f"{self._last_id:x}"
        self._running[operation.id] = operation
        for observer in operation.observers:
            _tell(observer.started, operation)
        return operation

    def end(self, operation: Operation, error: BaseException | None) -> None:
        """It has ended, with ``error`` or well; a second time is fine."""
        if self._running.pop(operation.id, None) is None:
            return
        if operation.ended is None:
            operation.ended = time.monotonic()
        if error is not None:
            operation.cut_short = isinstance(error, asyncio.CancelledError)
            operation.error = _words(error)
        for observer in operation.observers:
            _tell(observer.ended, operation, error)
        operation.observers = ()
        self._recent.append(operation)
        if len(self._recent) >= _BATCH:
            self._remember()

    def _remember(self) -> None:
        if self._history is None:
            from cri.history import History  # not before there is something to remember

            self._history = History(self._history_bytes)
        self._history.keep(self._recent)
        self._recent.clear()

    async def _carry_out(self, operation: Operation, work: Work[T]) -> T:
        try:
            return await work(operation)
        except Exception as error:
            _add_steps(operation, error)
            raise
        finally:
            operation.ended = time.monotonic()

    def _finished(self, key: str) -> None:
        operation, task = self._tasks.pop(key)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self.end(operation, error)
        if task.cancelled():
            logger.warning("%s cut short: %s", key, operation.describe_steps())
        elif error is not None:
            # Who waits hears of it, and logs it; otherwise this is the only word about it.
            level = logging.DEBUG if operation.waiting else logging.ERROR
            logger.log(level, "%s failed: %s [%s]", key, error, operation.describe_steps())
        elif operation.seconds() >= self._slow_seconds:
            logger.warning("%s was slow, %.1f s: %s", key, operation.seconds(), operation.describe_steps())

    async def drain(self, timeout_s: float) -> None:
        """Wait for what runs; what is not done in time is cancelled, and undoes itself."""
        tasks = [task for _, task in self._tasks.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout_s)


def _add_steps(operation: Operation, error: BaseException) -> None:
    """To the log all steps; to the client the one that took long, if that is what failed."""
    if not operation.steps:
        return
    error.add_note(Steps(operation.describe_steps()))
    if where := operation.long_failure():
        error.add_note(where)


def _words(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cut short"
    notes = [note for note in getattr(error, "__notes__", ()) if not isinstance(note, Steps)]
    text = str(error) or type(error).__name__
    return (f"{text} [{'; '.join(notes)}]" if notes else text)[:_ERROR_CHARACTERS]


def _tell(hear: Callable[..., None], *what: object) -> None:
    try:
        hear(*what)
    except Exception:
        logger.exception("an observer of operations failed")
