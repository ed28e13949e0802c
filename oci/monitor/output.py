"""A container's output streams in the process that reads them: to the log, and to whoever is attached.

A reader that does not keep up (a full disk, a slow attachment) stops this stream only: the container's pipe
fills and its writer waits, as with any pipe. The same holds for a container that is over its rate.
"""

import contextlib
import errno
import fcntl
import os
import struct
import termios
import time

from oci.monitor.crilog import Stamps, end_of_line, log_lines
from oci.monitor.journal import CHUNK_BYTES, Chunk, Journal, Slot
from oci.monitor.logfile import LogFile
from oci.monitor.pace import Allowance, Pace
from oci.monitor.reactor import READ, WRITE, Callback, Reactor, complain

_LOG_RETRY_S = 0.2  # at first; doubled up to …
_LOG_RETRY_MAX_S = 2.0
_DRAIN_READS = 32  # at once: what a pipe of the largest size holds, twice
_CONSOLE_RETRY_S = 0.1
_UNREAD = struct.Struct("i")


class Sink:
    """An attached descriptor that gets a copy of a stream."""

    __slots__ = ("_descriptor", "_pending", "_reactor", "_stream")

    def __init__(self, reactor: Reactor, stream: "Stream", descriptor: int) -> None:
        """Take ``descriptor`` over."""
        os.set_blocking(descriptor, False)
        self._reactor = reactor
        self._stream = stream
        self._descriptor = descriptor
        self._pending = b""

    @property
    def full(self) -> bool:
        """Whether it has not taken all it was given."""
        return bool(self._pending)

    def write(self, data: bytes) -> None:
        """Pass ``data`` on, or keep what the descriptor does not take now."""
        self._pending += data
        self._flush()

    def finish(self) -> None:
        """Close as soon as everything pending is written."""
        if not self._pending:
            self.close()

    def close(self) -> None:
        """Close at once. Idempotent."""
        if self._descriptor < 0:
            return
        self._reactor.unwatch(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._pending = b""
        self._stream.sink_closed(self)

    def _flush(self) -> None:
        if self._descriptor < 0:
            return
        try:
            self._pending = self._pending[os.write(self._descriptor, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()  # the daemon hung up
            return
        if self._pending:
            self._reactor.watch(self._descriptor, WRITE, self._flush)
            return
        self._reactor.unwatch(self._descriptor)
        if self._stream.ended:
            self.close()
        else:
            self._stream.resume()


class Stream:
    """One of a container's stdout, stderr or console, from its reading end to log and sinks."""

    def __init__(
        self,
        reactor: Reactor,
        pace: Pace,
        allowance: Allowance,
        journal: Journal,
        container_id: str,
        name: str,
        descriptor: int,
        log: LogFile | None,
        on_end: Callback,
    ) -> None:
        """Take ``descriptor`` over; :meth:`resume` begins to read. ``on_end`` is called once, at the end."""
        os.set_blocking(descriptor, False)
        self.name = name
        self.descriptor = descriptor
        self.sinks: list[Sink] = []
        self._reactor = reactor
        self._pace = pace
        self._allowance = allowance
        self._journal = journal
        self._container_id = container_id
        self._log_name = "stdout" if name == "console" else name
        self._log = log
        self._on_end = on_end
        self._stamps = Stamps()
        self._unlogged = b""
        self._slot: Slot | None = None  # of the chunk that is not in the log yet
        self._line: Slot | None = None  # says in the journal whether the last line has no end yet
        self._line_is_noted = False  # that it has none
        self._retry_s = _LOG_RETRY_S
        self._is_over_rate = False
        self._within_line = False  # what is in the log of this stream ends with a P piece
        self._draining = False

    @property
    def ended(self) -> bool:
        """Whether nothing will be read any more."""
        return self.descriptor < 0

    @property
    def stalled(self) -> bool:
        """Whether the log does not take what was read."""
        return bool(self._unlogged)

    def add_sink(self, descriptor: int) -> Sink:
        """Copy to ``descriptor`` from now on, which is taken over."""
        sink = Sink(self._reactor, self, descriptor)
        self.sinks.append(sink)
        return sink

    def sink_closed(self, sink: Sink) -> None:
        """A sink is gone; it may have been what held the stream."""
        if sink in self.sinks:
            self.sinks.remove(sink)
        self.resume()

    def drain(self) -> None:
        """The container has ended: read what is there now, and on to the end when that comes.

        Attachments do not hold the stream any more, they get the rest later; a rate neither.
        """
        self._draining = True
        for _ in range(_DRAIN_READS):
            if self.ended or self.stalled or not self._read_once():
                break
        self.resume()

    def recover(self, chunk: Chunk, slot: Slot) -> None:
        """Log what a writer had read when it died, and its log has not, before anything else.

        What that writer may have written of it in its last try is to be taken back before.
        """
        self._within_line = bool(chunk.data) and not chunk.data.endswith(b"\n")
        self._slot = slot
        self._unlogged = self._lines(chunk.time_ns, chunk.data)[chunk.taken :]
        self._try_again()

    def is_within_line(self, slot: Slot) -> None:
        """The writer before has logged the beginning of a line."""
        self._within_line = self._line_is_noted = True
        self._line = slot

    def resume(self) -> None:
        """Read on if nothing holds the stream."""
        if self.ended or self.stalled:
            return
        held = self._is_over_rate or any(sink.full for sink in self.sinks)
        if self._draining or not held:
            self._reactor.watch(self.descriptor, READ, self._read_once)
        else:
            self._reactor.unwatch(self.descriptor)

    def close(self) -> None:
        """Stop reading; sinks close when they have all. Idempotent.

        While the log has no room for the end of the last line, the stream stays, and its end is read again.
        """
        if self.ended:
            return
        self._end_line()
        if self.stalled:
            return
        if self._line is not None:
            self._line.done()
        self._reactor.unwatch(self.descriptor)
        os.close(self.descriptor)
        self.descriptor = -1
        for sink in list(self.sinks):
            sink.finish()
        self._on_end()

    def _read_once(self) -> bool:
        """Read and pass on one chunk; False if there is none now or no more."""
        now = time.time_ns()
        try:
            data = self._read(now)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                complain(f"cannot read {self.name} of {self._container_id}: {error.strerror}")
            elif not self._draining:
                # Nobody has the console open now; /dev/console opens it again.
                self._reactor.unwatch(self.descriptor)
                self._reactor.later(_CONSOLE_RETRY_S, self.resume)
                return False
            data = b""
        if not data:
            self.close()
            return False
        self._pace.note(len(data))
        if self._log is not None:
            self._within_line = not data.endswith(b"\n")
            self._write_log(self._lines(now, data))
        for sink in list(self.sinks):
            sink.write(data)
        wait_s = self._allowance.spend(len(data))
        if wait_s > 0 and not self._draining:
            self._is_over_rate = True
            self._reactor.later(wait_s, self._rate_allows)
        if self.sinks or self._is_over_rate:
            self.resume()
        return True

    def _rate_allows(self) -> None:
        self._is_over_rate = False
        self.resume()

    def _read(self, now: int) -> bytes:
        """One chunk, by way of the journal where the number of bytes is known beforehand (not of a pty)."""
        if self._log is None or self.name == "console":
            return os.read(self.descriptor, CHUNK_BYTES)
        (unread,) = _UNREAD.unpack(fcntl.ioctl(self.descriptor, termios.FIONREAD, bytes(_UNREAD.size)))
        if unread == 0:
            return os.read(self.descriptor, 1)  # the end, if anything
        length = min(unread, CHUNK_BYTES)
        slot = self._journal.take()
        data = slot.read(self.descriptor, length, self._container_id, self._log_name, now, self._log.place())
        self._slot = slot
        return data

    def _end_line(self) -> None:
        if self._log is None or not self._within_line or self.stalled:
            return
        now = time.time_ns()
        assert self._line is not None  # since what began the line is in the log
        self._slot, self._line = self._line, None
        self._slot.end_line(self._container_id, self.name, now, self._log.place())
        self._within_line = self._line_is_noted = False
        self._write_log(self._lines(now, b""))

    def _lines(self, time_ns: int, data: bytes) -> bytes:
        """What is written to the log for one read; for none, the end of the last line."""
        stamp, name = self._stamps.render(time_ns), self._log_name.encode()
        return log_lines(stamp, name, data) if data else end_of_line(stamp, name)

    def _write_log(self, lines: bytes) -> None:
        assert self._log is not None
        if self._log.exceeds(len(lines)):
            if self._slot is not None:
                self._slot.log_is_cut()
            with contextlib.suppress(OSError):  # then it grows beyond its limit
                self._log.cut()
        self._try(lines)

    def _try_again(self) -> None:
        assert self._log is not None
        if self._slot is not None and self._log.is_open:
            self._slot.again(self._log.place())
        self._try(self._unlogged)

    def _try(self, lines: bytes) -> None:
        """Write what is left of what was read."""
        assert self._log is not None
        unlogged = self._unlogged = self._log.append(lines, self._slot)
        if unlogged:
            self._stall(len(lines) - len(unlogged))
            return
        self._retry_s = _LOG_RETRY_S
        self._note_line()  # before the chunk is forgotten that began or ended it
        if self._slot is not None:
            self._slot.done()
            self._slot = None

    def _note_line(self) -> None:
        """Let the journal say what a successor must know of the last line that is in the log."""
        if self._within_line == self._line_is_noted:
            return
        if self._line is None:
            self._line = self._journal.take()
            self._line.forget_data()
        if self._within_line:
            self._line.unfinished(self._container_id, self.name)
        else:
            self._line.finished()
        self._line_is_noted = self._within_line

    def _stall(self, taken: int) -> None:
        """The log has taken no more than these bytes of what is left; others may write to it."""
        assert self._log is not None
        if self._slot is not None and not self._log.is_torn:
            self._slot.stall(taken)
        if self._retry_s == _LOG_RETRY_S:
            length = len(self._unlogged)
            complain(f"log {self._log.path} does not take {length} bytes; its container waits")
        self._reactor.unwatch(self.descriptor)
        self._reactor.later(self._retry_s, self._retry)
        self._retry_s = min(2 * self._retry_s, _LOG_RETRY_MAX_S)

    def _retry(self) -> None:
        if self.ended or self._log is None:
            return
        self._try_again()
        self.resume()
