"""The monitor's side of the keeper, with keepers that are processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from host.local_sockets import dial, peer_of
from oci.monitor import keeping
from oci.monitor.keeping import Keeping
from oci.monitor.reactor import Reactor
from tests.harness.processes import children, command_line


class Thing:
    """An object with one descriptor, whose release by all is seen at its other end."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)

    def source(self) -> tuple[bytes, Sequence[int]]:
        return self.value, [self.writing] if self.writing >= 0 else []

    def let_go(self) -> None:
        os.close(self.writing)
        self.writing = -1

    def is_held(self) -> bool:
        """By anybody."""
        try:
            return bool(os.read(self.reading, 1))
        except BlockingIOError:
            return True


class Rig:
    """Monitors of one directory, one after the other, in this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reactor = Reactor()
        self.monitor = Keeping(self.reactor, str(directory))
        self.things: list[Thing] = []

    def thing(self, value: bytes) -> Thing:
        self.things.append(Thing(value))
        return self.things[-1]

    def dies(self) -> None:
        """The monitor's connection is all that its keeper knows of it."""
        self.monitor._closed = True
        self.monitor._let_go()

    def next(self) -> dict[str, tuple[bytes, int]]:
        """Another monitor: what it is given; the descriptors are closed."""
        self.monitor = Keeping(self.reactor, str(self.directory))
        found = self.monitor.take()
        for kept in found:
            for descriptor in kept.descriptors:
                os.close(descriptor)
        return {kept.key: (kept.value, len(kept.descriptors)) for kept in found}

    def until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < end
            timer = self.reactor.later(0.01, lambda: None)
            self.reactor.turn()
            timer.cancel()

    def stop(self) -> int:
        """The keeper's pid, which hangs from now on."""
        pid = self.ready()
        os.kill(pid, signal.SIGSTOP)
        return pid

    def ready(self) -> int:
        """The keeper's pid, once it has become one."""
        pid = self.pid()
        while True:
            with dial(f"{self.directory}/keeper.sock") as sock:
                if peer_of(sock)[0] == pid:
                    return pid
            time.sleep(0.01)

    def pid(self) -> int:
        process = self.monitor._process
        assert process is not None
        for line in Path(f"/proc/self/fdinfo/{process.number}").read_text().splitlines():
            if line.startswith("Pid:"):
                return int(line.split()[1])
        raise AssertionError("no pidfd")


def end_all(directory: Path) -> None:
    """What a failure leaves; keepers are children of ours."""
    for pid in children("self"):
        if f"podwright-keeper: {directory}" in command_line(pid):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    if made.monitor._closed:
        made.next()
    for key in list(made.monitor._objects) or ["a", "b"]:
        made.monitor.drop(key)
    made.monitor.close()
    made.reactor.close()
    for thing in made.things:
        os.close(thing.reading)
        if thing.writing >= 0:
            thing.let_go()
    end_all(made.directory)


def test_the_next_monitor_is_given_what_the_last_put(rig: Rig) -> None:
    a, b, c = rig.thing(b"1"), rig.thing(b"2"), rig.thing(b"3")
    for key, thing in zip("abc", (a, b, c), strict=True):
        rig.monitor.put(key, thing.source)
    a.value = b"one"
    rig.monitor.changed("a")
    b.let_go()
    rig.monitor.changed("b")  # by the keeper, too
    rig.monitor.drop("c")
    c.let_go()
    rig.until(lambda: not b.is_held() and not c.is_held())
    a.let_go()
    rig.dies()
    assert a.is_held()
    assert rig.next() == {"a": (b"one", 1), "b": (b"2", 0)}


def test_without_a_keeper_there_is_nothing_to_take(rig: Rig) -> None:
    assert rig.next() == {}


def test_a_keeper_that_died_is_replaced_and_given_everything(rig: Rig) -> None:
    a, b = rig.thing(b"1"), rig.thing(b"2")
    rig.monitor.put("a", a.source)
    rig.monitor.put("b", b.source)
    first = rig.pid()
    os.kill(first, signal.SIGKILL)
    rig.until(lambda: rig.monitor._process is not None and rig.pid() != first)
    rig.dies()
    assert rig.next() == {"a": (b"1", 1), "b": (b"2", 1)}


def test_a_keeper_that_takes_nothing_is_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "HUNG_S", 0.05)
    a = rig.thing(b"x" * 10_000)
    rig.monitor.put("a", a.source)
    first = rig.stop()
    while rig.monitor._hung is None:
        rig.monitor.changed("a")
    rig.until(lambda: rig.monitor._process is not None and rig.pid() != first)
    rig.dies()
    assert rig.next() == {"a": (a.value, 1)}


def test_a_keeper_that_does_not_answer_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_TAKE_S", 0.05)
    rig.monitor.put("a", rig.thing(b"1").source)
    pid = rig.stop()
    rig.dies()
    assert rig.next() == {}
    os.waitpid(pid, 0)
    rig.monitor.put("a", rig.thing(b"2").source)
    rig.dies()
    assert rig.next() == {"a": (b"2", 1)}


def test_a_keeper_waits_for_a_busy_monitor_no_longer_than_is_good(rig: Rig) -> None:
    """What does not fit into the socket waits, in order."""
    a = rig.thing(b"x" * 10_000)
    rig.monitor.put("a", a.source)
    pid = rig.stop()
    while not rig.monitor._queue:
        rig.monitor.changed("a")
    a.value = b"last"
    rig.monitor.changed("a")
    os.kill(pid, signal.SIGCONT)
    rig.until(lambda: not rig.monitor._queue)
    rig.dies()
    assert rig.next() == {"a": (b"last", 1)}


def test_a_successor_is_given_what_its_predecessor_said_last(rig: Rig) -> None:
    """The keeper, busy with other things, finds a dead monitor's words and the question together."""
    a = rig.thing(b"first")
    rig.monitor.put("a", a.source)
    pid = rig.stop()
    for number in range(50):
        a.value = b"%d" % number
        rig.monitor.changed("a")
    rig.until(lambda: not rig.monitor._queue)
    rig.dies()
    again = threading.Timer(0.2, lambda: os.kill(pid, signal.SIGCONT))
    again.start()
    assert rig.next() == {"a": (b"49", 1)}
    again.join()


def test_one_whose_end_is_not_on_record_stays_held_as_it_is(rig: Rig) -> None:
    a = rig.thing(b"1")
    rig.monitor.put("a", a.source)
    a.let_go()
    rig.monitor.leave("a")
    rig.monitor.changed("a")
    assert a.is_held()
    rig.monitor.drop("a")
    rig.until(lambda: not a.is_held())


def test_it_ends_with_a_monitor_that_has_nothing_to_keep(rig: Rig) -> None:
    rig.monitor.put("a", rig.thing(b"1").source)
    pid = rig.pid()
    rig.monitor.drop("a")
    rig.monitor.close()
    os.waitpid(pid, 0)
    assert not (rig.directory / "keeper.sock").exists()


@pytest.mark.parametrize("is_connected", [True, False])
def test_it_ends_by_sigterm_when_no_monitor_is_there(rig: Rig, *, is_connected: bool) -> None:
    a = rig.thing(b"1")
    rig.monitor.put("a", a.source)
    pid = rig.ready()
    os.kill(pid, signal.SIGTERM)
    if is_connected:
        rig.dies()
        assert rig.next() == {"a": (b"1", 1)}
        return
    a.let_go()
    rig.dies()
    while a.is_held():
        os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
