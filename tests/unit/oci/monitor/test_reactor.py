import os
import sys
from pathlib import Path

import pytest

from oci.monitor.reactor import READ, Reactor, complain


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


def test_timers_run_in_the_order_of_their_times(reactor: Reactor) -> None:
    seen: list[int] = []
    reactor.later(0.03, reactor.stop)
    reactor.later(0.02, lambda: seen.append(2))
    reactor.later(0.01, lambda: seen.append(1))
    reactor.later(0.0, lambda: seen.append(9)).cancel()
    reactor.run()
    reactor.close()
    assert seen == [1, 2]


@pytest.mark.parametrize("years", [1, 1e9])
def test_a_timer_may_be_years_away(reactor: Reactor, years: float) -> None:
    reading, writing = os.pipe()
    reactor.later(years * 365 * 24 * 3600, lambda: None)
    reactor.watch(reading, READ, reactor.stop)
    os.write(writing, b"x")
    reactor.run()
    reactor.close()
    os.close(reading)
    os.close(writing)


def test_one_failing_callback_is_nobody_elses_failure(
    reactor: Reactor, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x")

    def fail() -> None:
        os.read(reading, 1)
        raise ValueError("broken")

    reactor.watch(reading, READ, fail)
    reactor.later(0.01, reactor.stop)
    reactor.run()
    assert "ValueError: broken" in capsys.readouterr().err
    os.close(reading)
    os.close(writing)
    reactor.close()


def test_a_watch_ended_by_an_earlier_callback_of_the_round_is_not_called(reactor: Reactor) -> None:
    pipes = [os.pipe(), os.pipe()]
    seen: list[int] = []

    def ready(number: int) -> None:
        seen.append(number)
        for reading, _ in pipes:
            reactor.unwatch(reading)

    for number, (reading, writing) in enumerate(pipes):
        os.write(writing, b"x")
        reactor.watch(reading, READ, lambda number=number: ready(number))  # type: ignore[misc]
    reactor.later(0.01, reactor.stop)
    reactor.run()
    assert len(seen) == 1
    for descriptor in (*pipes[0], *pipes[1]):
        os.close(descriptor)
    reactor.close()


def test_what_is_called_soon_may_call_soon_again_without_starving_timers(reactor: Reactor) -> None:
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        reactor.soon(again)

    reactor.soon(again)
    reactor.later(0.01, reactor.stop)
    reactor.run()
    reactor.close()
    assert count > 1


def test_the_log_of_complaints_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "monitor.log"
    with path.open("a") as file:
        monkeypatch.setattr(sys, "stderr", file)
        for _ in range(300):
            complain("x" * 10_000)
        complain("the last")
    assert path.stat().st_size < 2 << 20
    assert path.read_text().endswith('msg="the last"\n')


def test_what_is_to_be_called_soon_is_known() -> None:
    reactor = Reactor()
    reactor.soon(lambda: None)
    before = reactor.owes_calls
    reactor.turn()
    assert (before, reactor.owes_calls) == (True, False)
    reactor.close()
