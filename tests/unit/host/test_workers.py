"""A pool that shrinks: what it carries out, how many threads it has meanwhile, and how many afterwards."""

import asyncio
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from host.workers import Workers
from tests.harness.patience import patient
from tests.harness.until import until

LIMIT = 8
WAIT_S = patient(30)


def threads_of(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def fill(workers: Workers, gate: threading.Event, number: int) -> list[Future[bool]]:
    """Calls that all are under way until the gate opens."""
    begun = threading.Semaphore(0)

    def call() -> bool:
        begun.release()
        return gate.wait(WAIT_S)

    calls = [workers.submit(call) for _ in range(number)]
    for _ in range(min(number, LIMIT)):
        assert begun.acquire(timeout=WAIT_S)
    return calls


def test_results_and_errors_come_back() -> None:
    workers = Workers(1, "results")
    assert workers.submit(divmod, 7, 2).result(WAIT_S) == (3, 1)
    assert workers.submit(int, "11", base=2).result(WAIT_S) == 3
    with pytest.raises(ZeroDivisionError):
        workers.submit(divmod, 1, 0).result(WAIT_S)
    assert workers.submit(len, "after").result(WAIT_S) == 5
    workers.shutdown()


def test_calls_beyond_the_limit_wait_and_are_carried_out_in_order(gate: threading.Event) -> None:
    workers, done = Workers(LIMIT, "order"), list[int]()
    fill(workers, gate, LIMIT - 1)
    blocked = fill(workers, gate, 1)
    later = [workers.submit(done.append, number) for number in range(50)]
    assert threads_of("order") == LIMIT
    assert not any(call.done() for call in later)
    gate.set()
    workers.shutdown()
    assert blocked[0].result(0)
    assert sorted(done) == list(range(50))


async def test_calls_one_after_the_other_need_one_thread() -> None:
    workers = Workers(LIMIT, "single")
    used = set()
    for _ in range(50):
        used.add(workers.submit(threading.get_ident).result(WAIT_S))
        await until(lambda: len(workers._idle) == 1, "it waits for the next")
    assert len(used) == 1
    workers.shutdown()


async def test_a_burst_leaves_no_thread_behind(gate: threading.Event) -> None:
    workers = Workers(LIMIT, "burst", idle_s=0.01)
    calls = fill(workers, gate, 5 * LIMIT)
    assert threads_of("burst") == LIMIT
    gate.set()
    assert all(call.result(WAIT_S) for call in calls)
    await until(lambda: threads_of("burst") == 0, "all have ended")
    assert workers.submit(len, "again").result(WAIT_S) == 5
    workers.shutdown()


def test_no_call_is_lost_to_a_thread_that_is_about_to_end() -> None:
    workers = Workers(2, "last word", idle_s=0.0)  # each ends at once when it has nothing to do
    results = [workers.submit(abs, -number).result(WAIT_S) for number in range(2000)]
    assert results == list(range(2000))
    many = [workers.submit(abs, -number) for number in range(2000)]
    assert [call.result(WAIT_S) for call in many] == list(range(2000))
    workers.shutdown()
    assert threads_of("last word") == 0


async def test_an_idle_thread_holds_nothing_of_its_last_call() -> None:
    class Large:
        pass

    workers, large = Workers(1, "holds", idle_s=WAIT_S), Large()
    gone = weakref.ref(large)
    assert workers.submit(lambda held: held is not None, large).result(WAIT_S)
    del large
    await until(lambda: gone() is None, "it is gone")
    assert threads_of("holds") == 1
    workers.shutdown()


def test_a_shut_pool_takes_nothing_and_carries_out_what_it_took(gate: threading.Event) -> None:
    workers = Workers(1, "shut")
    [running] = fill(workers, gate, 1)
    waiting = workers.submit(len, "done")
    workers.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(len, "late")
    gate.set()
    assert (running.result(WAIT_S), waiting.result(WAIT_S)) == (True, 4)
    workers.shutdown()
    assert threads_of("shut") == 0


def test_what_waits_can_be_cancelled_at_the_end(gate: threading.Event) -> None:
    workers = Workers(1, "cancelled")
    [running] = fill(workers, gate, 1)
    waiting = workers.submit(len, "never")
    workers.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert waiting.cancelled()
    assert running.result(WAIT_S)


def test_a_cancelled_call_is_passed_over(gate: threading.Event) -> None:
    workers = Workers(1, "passed over")
    fill(workers, gate, 1)
    waiting = workers.submit(len, "never")
    assert waiting.cancel()
    gate.set()
    assert workers.submit(len, "next").result(WAIT_S) == 4
    workers.shutdown()


def test_it_serves_an_event_loop_and_ends_with_it() -> None:
    async def main() -> list[int]:
        asyncio.get_running_loop().set_default_executor(Workers(4, "of a loop"))
        return await asyncio.gather(*(asyncio.to_thread(abs, -number) for number in range(100)))

    assert asyncio.run(main()) == list(range(100))
    assert threads_of("of a loop") == 0


def test_without_a_thread_from_the_system_a_call_waits_for_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers(4, "refused")
    fill(workers, gate, 1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        waiting = workers.submit(len, "later")
    gate.set()
    assert waiting.result(WAIT_S) == 5
    workers.shutdown()
    nobody = Workers(4, "nobody")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        nobody.submit(len, "now")
