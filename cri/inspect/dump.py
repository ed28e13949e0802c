"""Where every task and thread of the daemon waits, and what it works on: for when it seems to hang.

    <directory>/tasks-<time>-<pid>.txt   one of at most KEPT, each at most LIMIT_BYTES, for root alone

``write`` may be called from a signal's handler: it takes no lock that the interrupted code may hold, so it
neither logs nor waits for another thread.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cri.stacks import stacks
from cri.version import VERSION

LIMIT_BYTES: Final = 4 << 20
KEPT: Final = 8
_FRAMES: Final = 64  # of one thread
_NOT_WRITTEN = "the rest is left out\n"


def text(loop: asyncio.AbstractEventLoop, limit_bytes: int = LIMIT_BYTES) -> str:
    """The whole dump, at most of this size in ASCII; what does not fit is left out, and said to be."""
    parts: list[str] = []
    room = limit_bytes - len(_NOT_WRITTEN)
    for line in _lines(loop):
        line = f"{ascii(line)[1:-1]}\n"
        if len(line) > room:
            parts.append(_NOT_WRITTEN)
            break
        room -= len(line)
        parts.append(line)
    return "".join(parts)


def _lines(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    yield f"Podwright {VERSION}, process {os.getpid()}, {now}"
    yield ""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        yield f"thread {names.get(ident, ident)}:"
        for entry in traceback.extract_stack(frame, _FRAMES):
            yield f"  {entry.filename}:{entry.lineno} in {entry.name}"
    yield ""
    yield from stacks(loop)


def write(directory: Path, loop: asyncio.AbstractEventLoop) -> Path:
    """Write one, and remove those that are too many.

    Raises:
        OSError: it cannot be written.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = directory / f"tasks-{stamp}-{time.monotonic_ns() % 1_000_000_000:09}.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text(loop))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    for old in sorted(directory.glob("tasks-*.txt"))[:-KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path
