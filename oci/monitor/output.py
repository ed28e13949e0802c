"""A container's output stream: read once, written to the log, copied to whoever is attached.

A reader that does not keep up (a full disk, a slow attachment) stops this stream only: the container's pipe
fills and its writer waits, as with any pipe.
"""

import errno
import fcntl
import os
import struct
import termios
import time
from collections.abc import Callable

from oci.monitor.crilog import Stamps, end_of_line, log_lines
from oci.monitor.journal import CHUNK_BYTES, Chunk, Journal
from oci.monitor.logfile import LogFile
from oci.monitor.reactor import READ, WRITE, Callback, Reactor, complain

_LOG_RETRY_S = 0.2
_CONSOLE_RETRY_S = 0.1
_UNREAD = struct.Struct("i")


class Sink:
    """An attached descriptor that gets a copy of a stream."""

    __slots__ = ("_descriptor", "_on_end", "_pending", "_reactor", "_stream")

    def __init__(self, reactor: Reactor, stream: "Stream", descriptor: int, on_end: Callback) -> None:
        """Take ``descriptor`` over; ``on_end`` is called when the sink is closed."""
        os.set_blocking(descriptor, False)
        self._reactor = reactor
        self._stream = stream
        self._descriptor = descriptor
        self._on_end = on_end
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
        self._on_end()

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
        journal: Journal,
        container_id: str,
        name: str,
        descriptor: int,
        log: LogFile | None,
        on_end: Callable[[], None],
    ) -> None:
        """Take ``descriptor`` over and watch it; ``on_end`` is called once, at its end or :meth:`close`."""
        os.set_blocking(descriptor, False)
        self.name = name
        self.descriptor = descriptor
        self.sinks: list[Sink] = []
        self._reactor = reactor
        self._journal = journal
        self._container_id = container_id
        self._log_name = "stdout" if name == "console" else name
        self._log = log
        self._on_end = on_end
        self._stamps = Stamps()
        self._unlogged = b""
        self._within_line = False  # what is in the log of this stream ends with a P piece
        self._draining = False
        self.resume()

    @property
    def ended(self) -> bool:
        """Whether nothing will be read any more."""
        return self.descriptor < 0

    @property
    def stalled(self) -> bool:
        """Whether the log does not take what was read."""
        return bool(self._unlogged)

    def add_sink(self, descriptor: int, on_end: Callback) -> Sink:
        """Copy to ``descriptor`` from now on, which is taken over."""
        sink = Sink(self._reactor, self, descriptor, on_end)
        self.sinks.append(sink)
        return sink

    def sink_closed(self, sink: Sink) -> None:
        """A sink is gone; it may have been what held the stream."""
        if sink in self.sinks:
            self.sinks.remove(sink)
        self.resume()

    def drain(self) -> None:
        """The container has ended: attachments do not hold the stream any more, they get the rest later."""
        self._draining = True
        self.resume()

    def recover(self, chunk: Chunk) -> None:
        """Log the chunk that a monitor had read when it died."""
        if self._log is None or not chunk.data:
            return
        self._within_line = not chunk.data.endswith(b"\n")
        lines = log_lines(self._stamps.render(chunk.time_ns), self._log_name.encode(), chunk.data)
        self._unlogged = self._log.recover(chunk, lines)
        if self._unlogged:
            self._stall()

    def resume(self) -> None:
        """Read on if nothing holds the stream."""
        if self.ended or self._unlogged:
            return
        if self._draining or not any(sink.full for sink in self.sinks):
            self._reactor.watch(self.descriptor, READ, self._readable)
        else:
            self._reactor.unwatch(self.descriptor)

    def close(self) -> None:
        """Stop reading; sinks close when they have all. Idempotent."""
        if self.ended:
            return
        self._end_line()
        self._reactor.unwatch(self.descriptor)
        os.close(self.descriptor)
        self.descriptor = -1
        for sink in list(self.sinks):
            sink.finish()
        self._on_end()

    def _readable(self) -> None:
        now = time.time_ns()
        try:
            data = self._read(now)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                complain(f"cannot read {self.name} of {self._container_id}: {error.strerror}")
            elif not self._draining:
                # Nobody has the console open now; /dev/console opens it again.
                self._reactor.unwatch(self.descriptor)
                self._reactor.later(_CONSOLE_RETRY_S, self.resume)
                return
            data = b""
        if not data:
            self.close()
            return
        if self._log is not None:
            self._within_line = not data.endswith(b"\n")
            self._write_log(log_lines(self._stamps.render(now), self._log_name.encode(), data))
        self._journal.done()
        for sink in list(self.sinks):
            sink.write(data)
        if self.sinks:
            self.resume()

    def _read(self, now: int) -> bytes:
        """One chunk, by way of the journal where the number of bytes is known beforehand (not of a pty)."""
        if self._log is None or self.name == "console":
            return os.read(self.descriptor, CHUNK_BYTES)
        (unread,) = _UNREAD.unpack(fcntl.ioctl(self.descriptor, termios.FIONREAD, bytes(_UNREAD.size)))
        if unread == 0:
            return os.read(self.descriptor, 1)  # the end, if anything
        length = min(unread, CHUNK_BYTES)
        return self._journal.read(
            self.descriptor, length, self._container_id, self._log_name, now, self._log.place()
        )

    def _end_line(self) -> None:
        if self._log is not None and self._within_line and not self._unlogged:
            self._within_line = False
            self._write_log(end_of_line(self._stamps.render(time.time_ns()), self._log_name.encode()))

    def _write_log(self, lines: bytes) -> None:
        assert self._log is not None
        self._log.make_room(len(lines))
        self._unlogged = self._log.append(lines)
        if self._unlogged:
            complain(f"log {self._log.path} does not take {len(self._unlogged)} bytes; its container waits")
            self._stall()

    def _stall(self) -> None:
        self._reactor.unwatch(self.descriptor)
        self._reactor.later(_LOG_RETRY_S, self._retry)

    def _retry(self) -> None:
        if self.ended or self._log is None:
            return
        self._unlogged = self._log.append(self._unlogged)
        if self._unlogged:
            self._reactor.later(_LOG_RETRY_S, self._retry)
        else:
            self.resume()
