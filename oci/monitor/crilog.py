"""The CRI log format: ``<RFC 3339 time> <stdout|stderr> <F|P> <bytes>`` a line. Pure functions.

Every read is written at once, so nothing of a container's output ever waits in memory: text that ends
without a newline becomes a P piece, and the piece that brings the newline gets F. Readers join pieces.
Bytes pass unchanged, also NUL and what is not UTF-8.
"""

import time

PIECE_BYTES = 16 * 1024  # longer lines are cut: log shippers commonly read lines of 32 KiB at most


class Stamps:
    """Renders times; the part down to the second is kept from the last call."""

    __slots__ = ("_prefix", "_second")

    def __init__(self) -> None:
        """Nothing rendered yet."""
        self._second = -1
        self._prefix = b""

    def render(self, time_ns: int) -> bytes:
        """``2026-01-02T03:04:05.678901234Z``, always with nine digits."""
        second, rest = divmod(time_ns, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
        return b"%b%09dZ" % (self._prefix, rest)


def end_of_line(stamp: bytes, stream: bytes) -> bytes:
    """The piece without text that ends a line whose newline never came."""
    return b"%b %b F \n" % (stamp, stream)


def log_lines(stamp: bytes, stream: bytes, data: bytes) -> bytes:
    """The log lines for one read of ``data`` (not empty) from ``stream``, all with the same time."""
    full = b"%b %b F " % (stamp, stream)
    partial = b"%b %b P " % (stamp, stream)
    if _has_long_line(data):
        return b"".join(_pieces(data, full, partial))
    end = data.rfind(b"\n") + 1
    parts = []
    if end:
        # One replace over the whole read is several times faster than a loop over its lines.
        parts += [full, data[: end - 1].replace(b"\n", b"\n" + full), b"\n"]
    if end < len(data):
        parts += [partial, data[end:], b"\n"]
    return b"".join(parts)


def _has_long_line(data: bytes) -> bool:
    """Whether a line (or the unfinished rest) has more than PIECE_BYTES."""
    start = 0
    while len(data) - start > PIECE_BYTES:
        newline = data.rfind(b"\n", start, start + PIECE_BYTES + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _pieces(data: bytes, full: bytes, partial: bytes) -> list[bytes]:
    """Line by line, long ones in pieces of PIECE_BYTES of which the last carries the line's own tag."""
    out = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        last = number == len(lines) - 1
        if last and not line:
            break
        while len(line) > PIECE_BYTES:
            out += [partial, line[:PIECE_BYTES], b"\n"]
            line = line[PIECE_BYTES:]
        out += [partial if last else full, line, b"\n"]
    return out
