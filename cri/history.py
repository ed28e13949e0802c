"""What has ended, in a bounded number of bytes: a line of JSON for each operation, in compressed blocks.

Probes are many and alike: they have a share of their own, so that they never push out the start of a pod. Of
each share the oldest block goes when it is full. Lines of a kind compress to a tenth of their size, so that
HISTORY_BYTES (cri/operations.py) hold more than a day of a busy node.

A document, also of an operation that runs (times in milliseconds, ``at_ms`` from the operation's beginning):

    {"id", "verb", "subject", "about": {…cri/subject.py}, "began_ns", "ms",
     "state": "running" | "done" | "failed" | "cut short", "error", "asked", "waiting",
     "steps": [{"name", "at_ms", "ms", "state"}],
     "progress": {"done_bytes", "total_bytes", "done_layers", "total_layers", "rate",
                  "layers": [{"name", "state", "done_bytes", "size_bytes", "rate"}]}}
"""

import heapq
import json
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from api.text import printable
from cri.operations import Operation, Step
from storage.progress import Progress

Document = dict[str, Any]

# Verbs that come by themselves, again and again.
PROBES = frozenset({"ExecSync"})
_PROBES_SHARE = 0.5
_BLOCK_BYTES = 32 << 10
_MOST_STEPS = 64
_MOST_LAYERS = 128
_NAME_CHARACTERS = 300


class History:
    """See above; ``limit_bytes`` bounds what is held, 0 holds nothing."""

    def __init__(self, limit_bytes: int) -> None:
        probes = int(limit_bytes * _PROBES_SHARE)
        self._probes, self._others = Ring(probes), Ring(limit_bytes - probes)

    def keep(self, operations: Iterable[Operation]) -> None:
        """Remember these, in the order of their ends."""
        for operation in operations:
            ring = self._probes if operation.verb in PROBES else self._others
            ring.append(json.dumps(document(operation), separators=(",", ":")).encode())

    def newest_first(self, word: str = "") -> Iterator[Document]:
        """All, or those whose line has ``word`` in it; by the time of their beginning, nearly."""
        needle = json.dumps(word)[1:-1].encode()
        return heapq.merge(
            *(_parsed(ring.newest_first(), needle) for ring in (self._probes, self._others)),
            key=lambda each: -int(each["began_ns"]),
        )

    def size_bytes(self) -> int:
        """What is held."""
        return self._probes.size_bytes() + self._others.size_bytes()


class Ring:
    """Lines of bytes, the oldest of which go when there are more than ``limit_bytes`` of them, compressed."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._block_bytes = min(_BLOCK_BYTES, limit_bytes // 8)
        self._blocks: deque[bytes] = deque()
        self._held = 0
        self._open: list[bytes] = []
        self._open_bytes = 0

    def size_bytes(self) -> int:
        """What is held, with what Python adds to it."""
        return self._held + self._open_bytes

    def append(self, line: bytes) -> None:
        """A line without line feeds."""
        if len(line) > self._limit // 2:
            return
        self._open.append(line)
        self._open_bytes += sys.getsizeof(line) + 8
        if self._open_bytes > self._block_bytes:
            block = zlib.compress(b"\n".join(self._open), 1)
            self._open, self._open_bytes = [], 0
            self._blocks.append(block)
            self._held += sys.getsizeof(block) + 8
        while self._held + self._open_bytes > self._limit and self._blocks:
            self._held -= sys.getsizeof(self._blocks.popleft()) + 8

    def newest_first(self) -> Iterator[list[bytes]]:
        """Blocks of lines, each oldest first, as they are now; another thread may read them."""
        newest, blocks = list(self._open), tuple(self._blocks)
        older = (zlib.decompress(block).split(b"\n") for block in reversed(blocks))
        return chain((newest,), older)


def _parsed(blocks: Iterator[list[bytes]], needle: bytes) -> Iterator[Document]:
    for lines in blocks:
        for line in reversed(lines):
            if needle in line:
                yield json.loads(line)


def document(operation: Operation) -> Document:
    """What is told of an operation, running or ended; text of strangers is printable and bounded."""
    now = time.monotonic() if operation.ended is None else operation.ended
    found: Document = {
        "id": operation.id,
        "verb": operation.verb,
        "subject": _bounded(operation.subject),
        "about": {name: _bounded(str(value)) for name, value in operation.about.items() if value},
        "began_ns": operation.began_ns,
        "ms": _milliseconds(operation.seconds()),
        "state": state_of(operation),
    }
    if operation.error:
        found["error"] = printable(operation.error)
    if operation.asked > 1:
        found["asked"] = operation.asked
    if operation.ended is None:
        found["waiting"] = operation.waiting
    if operation.steps:
        found["steps"] = [_step(operation, step, now) for step in operation.steps[:_MOST_STEPS]]
    if operation.progress is not None:
        found["progress"] = progress_of(operation.progress)
    return found


def state_of(operation: Operation) -> str:
    """``running``, ``done``, ``failed`` or ``cut short``."""
    if operation.ended is None:
        return "running"
    if operation.cut_short:
        return "cut short"
    return "failed" if operation.error else "done"


def progress_of(progress: Progress) -> Document:
    """How far a pull is, as JSON's types."""
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "done_layers": progress.done_layers,
        "total_layers": progress.total_layers,
        "rate": round(progress.rate()),
        "layers": [
            {
                "name": _bounded(layer.name),
                "state": layer.state.value,
                "done_bytes": layer.done_bytes,
                "size_bytes": layer.size_bytes,
                "rate": round(layer.rate()),
            }
            for layer in progress.layers[:_MOST_LAYERS]
        ],
    }


def _step(operation: Operation, step: Step, now: float) -> Document:
    return {
        "name": _bounded(step.name),
        "at_ms": _milliseconds(step.started - operation.started),
        "ms": _milliseconds(step.seconds(now)),
        "state": "failed" if step.failed else "running" if step.ended is None else "done",
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _bounded(text: str) -> str:
    return printable(text, _NAME_CHARACTERS)
