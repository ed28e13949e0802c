"""oci/monitor/inside: tasks for which no zygote can be started."""

import errno
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from host.spawn import CommandNotStarted
from oci.monitor import inside
from oci.monitor.commands import Task
from oci.monitor.reactor import Reactor

TASK = Task(["podwright-oci", "create", "x"], "", 60.0, inside={})
GONE = 2**22 + 1  # no pid


class Told:
    """What is said of a task."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def begun(self, pid: int) -> None:
        self.words.append(f"begun {pid}")

    def failed(self, words: str) -> None:
        self.words.append(words)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    reactor.close()


@pytest.fixture
def launcher(reactor: Reactor) -> inside.Inside:
    children: Any = SimpleNamespace(expect=lambda: 0.0, settled=lambda: None, watch=lambda *_: None)
    return inside.Inside(reactor, children, {})


@pytest.fixture
def output() -> Iterator[tuple[list[int], Callable[[], bytes]]]:
    """The three descriptors of a task, and what reads the other end once nobody else may have them."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    closed: list[int] = []

    def rest() -> bytes:
        os.close(writing)
        closed.append(writing)
        return os.read(reading, 1)  # BlockingIOError while anybody could write

    yield [writing] * 3, rest
    os.close(reading)
    if not closed:
        os.close(writing)


Output = tuple[list[int], Callable[[], bytes]]


def refuse(*_: object) -> int:
    raise CommandNotStarted("cannot start python3: Resource temporarily unavailable")


def test_a_task_without_a_zygote_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, launcher: inside.Inside, output: Output
) -> None:
    stdio, rest = output
    monkeypatch.setattr(inside, "spawn", refuse)
    with pytest.raises(CommandNotStarted, match="cannot start python3"):
        launcher.launch(TASK, stdio, Told())
    assert rest() == b""


@pytest.mark.parametrize("number", range(8))
def test_a_task_for_which_no_descriptor_is_left_is_refused_and_leaves_none(
    monkeypatch: pytest.MonkeyPatch, launcher: inside.Inside, output: Output, number: int
) -> None:
    """However many there still are: three for the task, and four for the message."""
    stdio, rest = output
    left = iter(range(number))
    duplicate = os.dup

    def dup(descriptor: int) -> int:
        if next(left, None) is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return duplicate(descriptor)

    monkeypatch.setattr(inside, "spawn", lambda *_: GONE)
    monkeypatch.setattr(os, "dup", dup)
    if number < 7:
        with pytest.raises(CommandNotStarted, match="Too many open files"):
            launcher.launch(TASK, stdio, Told())
    else:
        launcher.launch(TASK, stdio, Told())()
    launcher.close()
    assert rest() == b""


def test_a_task_whose_next_zygote_cannot_be_started_is_told(
    monkeypatch: pytest.MonkeyPatch, reactor: Reactor, launcher: inside.Inside, output: Output
) -> None:
    """Nobody would ever hear of it else."""
    stdio, rest = output
    starts = iter([lambda *_: GONE])
    monkeypatch.setattr(inside, "spawn", lambda *words: next(starts, refuse)(*words))
    told = Told()
    launcher.launch(TASK, stdio, told)
    for _ in range(5):
        reactor.soon(lambda: None)  # a turn that does not wait
        reactor.turn()
    assert told.words == ["cannot start python3: Resource temporarily unavailable"]
    assert rest() == b""
