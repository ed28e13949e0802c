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

    def describe(self, now: float) -> str:
        took = (now if self.ended is None else self.ended) - self.started
        return f"{self.name} {took * 1000:.1f} ms" + (" (running)" if self.ended is None else "")


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
        yield
        # A step that raised stays open: the description then shows where the verb ended.
        step.ended = time.monotonic()

    def seconds(self) -> float:
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def describe_steps(self) -> str:
        """``pin namespaces 1.4 ms, network 3.0 ms (running)``."""
        now = time.monotonic() if self.ended is None else self.ended
        return ", ".join(step.describe(now) for step in self.steps)


Work = Callable[[Operation], Awaitable[T]]


class Operations:
    """The running operations of the daemon, by key."""

    def __init__(self, slow_seconds: float) -> None:
        self._slow_seconds = slow_seconds
        self._running: dict[str, tuple[Operation, asyncio.Task[Any]]] = {}

    def running(self) -> list[Operation]:
        """What runs now, oldest first."""
        return [operation for operation, _ in self._running.values()]

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
            self._running[key] = (operation, task)
            task.add_done_callback(lambda done: self._finished(key, operation, done))
        else:
            task = entry[1]
        result: T = await asyncio.shield(task)
        return result

    async def _carry_out(self, operation: Operation, work: Work[T]) -> T:
        try:
            return await work(operation)
        except Exception as error:
            if operation.steps:
                error.add_note(operation.describe_steps())
            raise
        finally:
            operation.ended = time.monotonic()

    def _finished(self, key: str, operation: Operation, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if task.cancelled():
            logger.warning("%s cut short: %s", key, operation.describe_steps())
        elif (error := task.exception()) is not None:
            logger.error(
                "%s failed after %.0f ms: %s [%s]",
                key,
                operation.seconds() * 1000,
                error,
                operation.describe_steps(),
            )
        elif operation.seconds() >= self._slow_seconds:
            logger.warning("%s was slow, %.1f s: %s", key, operation.seconds(), operation.describe_steps())

    async def drain(self, timeout_s: float) -> None:
        """Wait for what runs; what is not done in time is cancelled, and undoes itself."""
        tasks = [task for _, task in self._running.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout_s)
