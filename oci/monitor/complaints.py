"""The monitor's standard error: its own log file, which may be on a file system that is full.

A message that cannot be written is counted, and the next one that can says how many were lost. The file lies
in the runroot, with the exit records and the socket: where that hangs, more than a log does.
"""

import io
import os


class Complaints(io.TextIOBase):
    """Takes the place of sys.stderr, here and in the processes that are forked."""

    def __init__(self, descriptor: int) -> None:
        """Write to ``descriptor``, open for appending."""
        super().__init__()
        self._descriptor = descriptor
        self._lost = 0

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Write a message whole, or count it. Never raises."""
        words = f"{self._lost} messages were lost here\n{text}" if self._lost else text
        try:
            os.write(self._descriptor, words.encode(errors="backslashreplace"))
            self._lost = 0
        except OSError:
            self._lost += 1
        return len(text)
