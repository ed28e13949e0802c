"""Log messages on their way to standard error, which may be a file on a disk that is full or hangs.

A thread writes them, so that nobody who logs waits for that. At most LIMIT messages wait; those that find no
place are counted, and the number is written once there is room again. A message that the disk refuses counts
too.
"""

import logging
import queue
import threading
import time
from typing import Protocol

LIMIT = 10_000
_PARTING_S = 2.0  # for the last messages, at the end of the process


class Stream(Protocol):
    """Where messages are written, one at a time."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class QueueHandler(logging.Handler):
    """Formats at once, writes later and in order."""

    def __init__(self, stream: Stream, limit: int = LIMIT) -> None:
        """Write to ``stream``."""
        super().__init__()
        self._stream = stream
        self._waiting: queue.Queue[str] = queue.Queue(limit)
        # How many were lost since the start, counted by those who log (one at a time) and by the thread; and
        # for how many of them the log says so.
        self._found_no_place = self._were_refused = self._told = 0
        self._thread = threading.Thread(target=self._write_for_ever, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one message, or count it."""
        try:
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self._found_no_place += 1
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait until all is written, for a bounded time."""
        deadline = time.monotonic() + _PARTING_S
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.002)

    def close(self) -> None:
        """The process ends."""
        self.flush()
        super().close()

    def _write_for_ever(self) -> None:
        while True:
            text = self._waiting.get()
            lost = self._found_no_place + self._were_refused
            if count := lost - self._told:
                words = f"{count} messages are lost here: the log was not written in time, or not at all"
                text = f"{words}\n{text}"
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
                self._told = lost
            except (OSError, ValueError):  # a full disk; a stream that was closed
                self._were_refused += 1
            self._waiting.task_done()
