"""A log writer that is killed at every line of its code between a pipe and the log: its successor leaves the
log as if nothing had happened, with the last line's end, once."""

import errno
import io
import mmap
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

from host.fds import send_message
from oci.monitor import journal, logfile, output, writer
from oci.monitor.writer_words import Add, Drain, Open, Order, Reopen, decode_reply, encode_order
from tests.harness.patience import patient

ID = "c" * 64
TRACED = {module.__file__ for module in (journal, logfile, output)}
TIMEOUT_S = patient(30)
RETRY_S = 0.004
LONG = b"long " * 60
PREFIX = len("2026-01-02T03:04:05.678901234Z stdout F ")


def killed_at(step: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that ends the process at the ``step``-th line of what lies between pipe and log."""
    passed = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal passed
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            passed += 1
            if passed == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


class Life:
    """A container's pipe, its log and journal, and one log writer after the other."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.journal = journal.new_journal()
        self.reading, self.writing = os.pipe()
        self.pipes: dict[str, int] = {"stdout": self.reading}
        self._sock: socket.socket | None = None
        self._pid = 0

    def print(self, text: bytes) -> None:
        os.write(self.writing, text)

    def writer(self, step: int = 0) -> None:
        """Fork one, which is killed at a line, or never; tell it of the container."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._be_a_writer(ours, its, step)
            finally:
                os._exit(70)
        its.close()
        ours.settimeout(TIMEOUT_S)
        self._sock = ours
        self._tell(Open(ID, str(self.log), 0, 0, True))
        self._tell(Add(ID, list(self.pipes)), *self.pipes.values())

    def _be_a_writer(self, ours: socket.socket, its: socket.socket, step: int) -> None:
        ours.close()
        if self.writing >= 0:
            os.close(self.writing)
        if step:
            sys.settrace(killed_at(step))
        self.prepare()
        writer.run(its, os.dup(self.journal))

    def prepare(self) -> None:
        """In the writer's process."""

    def end(self) -> bool:
        """The container ends; whether the writer said that the log is complete, or else it was killed."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1
        self._tell(Drain(ID), rid=7)
        return self._replied(7)

    def until_logged(self, text: bytes) -> bool:
        """Whether it is in the log, and the journal rid of it, or else the writer was killed before."""
        while not (self.log.exists() and text in self.log.read_bytes()) or journal.waiting(self.journal, 0):
            if self.is_dead:
                return False
            os.sched_yield()
        return True

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def bury(self) -> None:
        if self._sock is not None:
            self._sock.close()  # one that lives ends by that
            self._sock = None
            os.waitpid(self._pid, 0)

    @property
    def is_dead(self) -> bool:
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def close(self) -> None:
        self.bury()
        for descriptor in (self.journal, self.reading, self.writing):
            if descriptor >= 0:
                os.close(descriptor)
        self.journal = self.reading = self.writing = -1

    def left(self) -> list[object]:
        """What the journal still has when all is over."""
        assert journal.waiting(self.journal, 0) == []
        last = journal.Journal(os.dup(self.journal))
        found: list[object] = [*last.left, *last.unfinished]
        last.close()
        return found

    def _tell(self, order: Order, *descriptors: int, rid: int = 0) -> None:
        assert self._sock is not None
        try:
            send_message(self._sock, encode_order(rid, order), descriptors)
        except OSError:
            pass  # it is dead

    def _replied(self, rid: int) -> bool:
        assert self._sock is not None
        try:
            while data := self._sock.recv(4096):
                if decode_reply(data) == (rid, None):
                    return True
        except ConnectionResetError:
            pass
        return False


Kind = TypeVar("Kind", bound=Life)


def makers(kind: type[Kind], place: Path) -> Iterator[Callable[[], Kind]]:
    """Make one after the other, each in a directory of its own; all are closed in the end."""
    made: list[Kind] = []

    def make() -> Kind:
        directory = place / str(len(made))
        directory.mkdir()
        made.append(kind(directory))
        return made[-1]

    yield make
    for life in made:
        life.close()


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Callable[[], Life]]:
    yield from makers(Life, tmp_path)


class FullDisk(Life):
    """With a stderr too, on a disk that has room for so many bytes of log."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._room = mmap.mmap(-1, 8)  # shared with the writers
        self.err_reading, self.err_writing = os.pipe()
        self.pipes["stderr"] = self.err_reading

    def has_room(self, size: int) -> None:
        self._room[:] = size.to_bytes(8, "little")

    def prepare(self) -> None:
        if self.err_writing >= 0:
            os.close(self.err_writing)
        write = os.write

        def limited(descriptor: int, data: bytes) -> int:
            if not str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(str(self.log)):
                return write(descriptor, data)
            room = int.from_bytes(self._room, "little") - os.fstat(descriptor).st_size
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data[:room])

        patch = pytest.MonkeyPatch()
        patch.setattr(os, "write", limited)
        patch.setattr(output, "_LOG_RETRY_S", RETRY_S)
        patch.setattr(output, "_LOG_RETRY_MAX_S", RETRY_S)
        sys.stderr = io.StringIO()

    def rotate(self) -> None:
        self.log.rename(self.log.with_suffix(".1"))
        self._tell(Reopen(ID), rid=8)

    def logged(self) -> bytes:
        files = self.log.with_suffix(".1"), self.log
        return b"".join(file.read_bytes() for file in files if file.exists())

    def print_aside(self, text: bytes) -> None:
        os.write(self.err_writing, text)

    def end(self) -> bool:
        self._close_err()
        return super().end()

    def close(self) -> None:
        self._close_err()
        if self.err_reading >= 0:
            os.close(self.err_reading)
            self.err_reading = -1
        super().close()

    def _close_err(self) -> None:
        if self.err_writing >= 0:
            os.close(self.err_writing)
            self.err_writing = -1

    def go_on_until(self, is_so: Callable[["FullDisk"], bool]) -> bool:
        """By the successor of the writer if that was killed: then False."""
        survived = True
        while not is_so(self):
            if self.is_dead:
                survived = False
                self.bury()
                self.writer()
            os.sched_yield()
        return survived

    def refused(self) -> int:
        """The number of chunks that wait for room."""
        return [chunk.is_refused for chunk in journal.waiting(self.journal, 0)].count(True)


@pytest.fixture
def full_disks(tmp_path: Path) -> Iterator[Callable[[], FullDisk]]:
    yield from makers(FullDisk, tmp_path)


def texts(log: bytes, stream: bytes) -> list[tuple[bytes, bytes]]:
    """Tag and text of every line of the stream; every line must be of the format."""
    lines = [re.fullmatch(rb"\S+Z (stdout|stderr) ([FP]) (.*)", line) for line in log.splitlines()]
    assert None not in lines, log
    return [(one[2], one[3]) for one in lines if one is not None and one[1] == stream]


def records(log: bytes) -> list[tuple[bytes, bytes]]:
    """Tag and text of every line."""
    found = [re.fullmatch(rb"\S+Z stdout ([FP]) (.*)", line) for line in log.splitlines()]
    return [(one[1], one[2]) for one in found if one is not None]


def test_killed_at_every_line(lives: Callable[[], Life]) -> None:
    step, complete = 0, False
    while not complete:
        step += 1
        life = lives()
        life.print(b"one\ntwo")
        life.writer(step)
        complete = life.end()
        if not complete:
            life.bury()
            life.writer()
            assert life.end()
        life.bury()
        assert records(life.log.read_bytes()) == [(b"F", b"one"), (b"P", b"two"), (b"F", b"")], step
        assert life.left() == [], step
        life.close()
    assert step > 50  # else nothing was traced


def test_killed_at_every_line_while_lines_come_in_pieces(lives: Callable[[], Life]) -> None:
    step, complete = 0, False
    while not complete:
        step += 1
        life = lives()
        life.writer(step)
        life.print(b"one\ntwo")
        if not life.until_logged(b"P two\n"):
            life.bury()
            life.writer()
            life.until_logged(b"P two\n")
        life.print(b"!\nthree")
        complete = life.end()
        if not complete:
            life.bury()
            life.writer()
            assert life.end()
        life.bury()
        expected = [(b"F", b"one"), (b"P", b"two"), (b"F", b"!"), (b"P", b"three"), (b"F", b"")]
        assert records(life.log.read_bytes()) == expected, step
        assert life.left() == [], step
        life.close()


def test_a_line_ends_in_the_log_that_is_there(lives: Callable[[], Life], tmp_path: Path) -> None:
    """The kubelet has rotated it meanwhile."""
    life = lives()
    life.writer()
    life.print(b"prompt> ")
    assert life.until_logged(b"P prompt> \n")
    life.kill()
    life.bury()
    life.log.rename(tmp_path / "rotated")
    life.writer()
    assert life.end()
    assert records((tmp_path / "rotated").read_bytes()) == [(b"P", b"prompt> ")]
    assert records(life.log.read_bytes()) == [(b"F", b"")]


def test_a_line_that_was_ended_gets_no_second_end(lives: Callable[[], Life]) -> None:
    life = lives()
    life.writer()
    life.print(b"one")
    assert life.until_logged(b"P one\n")
    life.print(b" two\n")
    assert life.until_logged(b"F  two\n")
    life.kill()
    life.bury()
    life.writer()
    assert life.end()
    assert records(life.log.read_bytes()) == [(b"P", b"one"), (b"F", b" two")]


@pytest.mark.parametrize("is_rotated", [False, True])
def test_killed_at_every_line_while_the_other_stream_writes_after_a_chunk_that_was_taken_in_part(
    full_disks: Callable[[], FullDisk], is_rotated: bool
) -> None:
    step, complete = 0, False
    while not complete:
        step += 1
        disk = full_disks()
        disk.has_room(PREFIX + len("one\n") + 50)
        disk.writer(step)
        disk.print(b"one\n" + LONG + b"\ntwo")
        complete = disk.go_on_until(lambda disk: disk.refused() == 1)
        disk.has_room(200)  # too little for the long line
        if is_rotated:
            disk.rotate()
        disk.print_aside(b"aside\n")
        complete &= disk.go_on_until(lambda disk: b"stderr F aside\n" in disk.logged())
        complete &= ended(disk)
        log = disk.logged()
        expected = [(b"F", b"one"), (b"F", LONG), (b"P", b"two"), (b"F", b"")]
        assert texts(log, b"stdout") == expected, step
        assert texts(log, b"stderr") == [(b"F", b"aside")], step
        assert disk.left() == [], step
        disk.close()
    assert step > 100  # else nothing was traced


def test_a_successor_is_killed_at_every_line_while_both_streams_wait_for_room(
    full_disks: Callable[[], FullDisk],
) -> None:
    step, complete = 0, False
    while not complete:
        step += 1
        disk = full_disks()
        disk.has_room(PREFIX + len("one\n") + 50)
        disk.writer()
        disk.print(b"one\n" + LONG)
        disk.print_aside(LONG + b"aside\n")
        disk.go_on_until(lambda disk: disk.refused() == 2)
        disk.kill()
        disk.bury()
        disk.writer(step)
        complete = ended(disk)
        log = disk.logged()
        assert texts(log, b"stdout") == [(b"F", b"one"), (b"P", LONG), (b"F", b"")], step
        assert texts(log, b"stderr") == [(b"F", LONG + b"aside")], step
        assert disk.left() == [], step
        disk.close()
    assert step > 50  # else nothing was traced


def ended(disk: FullDisk) -> bool:
    """The container ends, when there is room again; whether the writer was not killed meanwhile."""
    disk.has_room(1 << 20)
    if disk.end():
        disk.bury()
        return True
    disk.bury()
    disk.writer()
    assert disk.end()
    disk.bury()
    return False
