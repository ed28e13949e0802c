"""Verbs in progress: named, timed steps, and repeats that join the first call.

A request that changes state runs as a task of its own. A client that goes away only stops
waiting; its repeat, which the kubelet sends under the same name, joins the running task
instead of hearing that a name is reserved. Every operation knows its steps and how long each
took, so a slow or failed one can say where the time went.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Step:
    """One named part of an operation; seconds of the monotonic clock."""

    name: str
    started: float
    ended: float | None = None
    failed: bool = False

    def describe(self, now: float) -> str:
        """``network 3.1 ms``, with what is special about it in parentheses."""
        took = (now if self.ended is None else self.ended) - self.started
        remark = " (failed)" if self.failed else " (running)" if self.ended is None else ""
        return f"{self.name} {took * 1000:.1f} ms{remark}"


@dataclass(slots=True)
class Operation:
    """What a verb does to one subject, and how far it is."""

    verb: str
    subject: str
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    steps: list[Step] = field(default_factory=list)

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

    def seconds(self) -> float:
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def milliseconds(self) -> float:
        """What it took until now, for the log."""
        return round(self.seconds() * 1000, 1)

    def describe_steps(self) -> str:
        """``pin namespaces 1.4 ms, network 3.0 ms (running)``."""
        now = time.monotonic() if self.ended is None else self.ended
        return ", ".join(step.describe(now) for step in self.steps)


class Steps(str):
    """A note on an error that says how far its operation came: for the log, not for clients."""

    __slots__ = ()


Work = Callable[[Operation], Awaitable[T]]


@dataclass(slots=True)
class _Entry:
    """A running operation, and how many callers still wait for it."""

    operation: Operation
    task: asyncio.Task[Any]
    waiting: int = 0


class Operations:
    """The running operations of the daemon, by key."""

    def __init__(self, slow_seconds: float) -> None:
        self._slow_seconds = slow_seconds
        self._running: dict[str, _Entry] = {}

    def running(self) -> list[Operation]:
        """What runs now, oldest first."""
        return [entry.operation for entry in self._running.values()]

    def verbs_on(self, subject: str) -> set[str]:
        """The verbs that are at work on ``subject``."""
        return {operation.verb for operation in self.running() if operation.subject == subject}

    async def run(self, verb: str, subject: str, work: Work[T]) -> T:
        """Run ``work`` as the one operation of this verb and subject, or join the one that runs.

        Cancelling the caller does not cancel the work.
        """
        key = f"{verb} {subject}"
        entry = self._running.get(key)
        if entry is None:
            operation = Operation(verb, subject)
            task = asyncio.create_task(self._carry_out(operation, work), name=key)
            entry = self._running[key] = _Entry(operation, task)
            task.add_done_callback(lambda _: self._finished(key))
        entry.waiting += 1
        try:
            result: T = await asyncio.shield(entry.task)
        except asyncio.CancelledError:
            entry.waiting -= 1
            raise
        return result

    async def _carry_out(self, operation: Operation, work: Work[T]) -> T:
        try:
            return await work(operation)
        except Exception as error:
            if operation.steps:
                error.add_note(Steps(operation.describe_steps()))
            raise
        finally:
            operation.ended = time.monotonic()

    def _finished(self, key: str) -> None:
        entry = self._running.pop(key)
        operation, steps = entry.operation, entry.operation.describe_steps()
        if entry.task.cancelled():
            logger.warning("%s cut short: %s", key, steps)
        elif (error := entry.task.exception()) is not None:
            # Who waits hears of it, and logs it; otherwise this is the only word about it.
            level = logging.DEBUG if entry.waiting else logging.ERROR
            logger.log(level, "%s failed: %s [%s]", key, error, steps)
        elif operation.seconds() >= self._slow_seconds:
            logger.warning("%s was slow, %.1f s: %s", key, operation.seconds(), steps)

    async def drain(self, timeout_s: float) -> None:
        """Wait for what runs; what is not done in time is cancelled, and undoes itself."""
        tasks = [entry.task for entry in self._running.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout_s)
