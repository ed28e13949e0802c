"""The monitor's standard error: its own log file, which may be on a file system that is full.

A message that cannot be written is counted, and the next one that can says how many were lost. At LIMIT_BYTES
the file is begun anew, so that whatever a container brings about fills nothing. The file lies in the runroot,
with the exit records and the socket: where that hangs, more than a log does.
"""

import io
import os
import stat

LIMIT_BYTES = 1 << 20


class Complaints(io.TextIOBase):
    """Takes the place of sys.stderr, here and in the processes that are forked."""

    def __init__(self, descriptor: int) -> None:
        """Write to ``descriptor``, open for appending."""
        super().__init__()
        self._descriptor = descriptor
        self._lost = 0

    def write(self, text: str) -> int:
        """Write a message whole, or count it. Never raises."""
        words = f"{self._lost} messages were lost here\n{text}" if self._lost else text
        data = words.encode(errors="backslashreplace")
        try:
            self._make_room(len(data))
            os.write(self._descriptor, data)
            self._lost = 0
        except OSError:
            self._lost += 1
        return len(text)

    def _make_room(self, length: int) -> None:
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size + length > LIMIT_BYTES:
            os.ftruncate(self._descriptor, 0)
