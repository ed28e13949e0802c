"""A log writer that is killed at every line of its code between a pipe and the log: its successor leaves the
log as if nothing had happened, with the last line's end, once."""

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from host.fds import send_message
from oci.monitor import journal, logfile, output, writer
from oci.monitor.writer_words import Add, Drain, Open, Order, decode_reply, encode_order
from tests.harness.patience import patient

ID = "c" * 64
TRACED = {module.__file__ for module in (journal, logfile, output)}
TIMEOUT_S = patient(30)


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
        self._tell(Add(ID, ["stdout"]), self.reading)

    def _be_a_writer(self, ours: socket.socket, its: socket.socket, step: int) -> None:
        ours.close()
        if self.writing >= 0:
            os.close(self.writing)
        if step:
            sys.settrace(killed_at(step))
        writer.run(its, os.dup(self.journal))

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
            if os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
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


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Callable[[], Life]]:
    made: list[Life] = []

    def make() -> Life:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Life(directory))
        return made[-1]

    yield make
    for life in made:
        life.close()


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
