"""Threads for calls that may hang: what they do to others, and to the end of the process."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from host.threads import DetachedThreads
from tests.harness.patience import patient


class Hung:
    """A call that hangs until it is let go, as one on a file system whose server is gone."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()

    def __call__(self) -> str:
        self.begun.release()
        self.let_go.wait()
        return "back"


@pytest.fixture
def hung() -> Iterator[Hung]:
    call = Hung()
    yield call
    call.let_go.set()


async def test_results_and_errors_come_back() -> None:
    threads = DetachedThreads("test", 1)
    assert await threads.run(lambda: threading.current_thread().name) == "test"
    with pytest.raises(FileNotFoundError):
        await threads.run(Path("/no/such/file").read_bytes)
    assert await threads.run(lambda: 1) == 1  # the failure gave its turn back


async def test_a_thread_serves_calls_one_after_the_other_but_none_beside_a_hung_one(hung: Hung) -> None:
    threads = DetachedThreads("test", 8)
    calls = [asyncio.create_task(threads.run(hung)) for _ in range(3)]
    for _ in calls:
        await asyncio.to_thread(hung.begun.acquire)
    assert [await threads.run(partial(divmod, number, 7)) for number in range(20)] == [
        divmod(number, 7) for number in range(20)
    ]
    used = {await threads.run(threading.get_ident) for _ in range(20)}
    hung.let_go.set()
    assert await asyncio.gather(*calls) == ["back"] * 3
    assert len(used) == 1


async def test_hung_calls_take_nothing_from_the_default_executor(hung: Hung) -> None:
    threads = DetachedThreads("test", 64)
    calls = [asyncio.create_task(threads.run(hung)) for _ in range(64)]
    for _ in calls:
        await asyncio.to_thread(hung.begun.acquire)
    assert await asyncio.to_thread(lambda: "runs") == "runs"
    hung.let_go.set()
    assert await asyncio.gather(*calls) == ["back"] * 64


async def test_a_call_waits_for_its_turn_until_one_comes_back(hung: Hung) -> None:
    threads = DetachedThreads("test", 1)
    first = asyncio.create_task(threads.run(hung))
    await asyncio.to_thread(hung.begun.acquire)
    second = asyncio.create_task(threads.run(lambda: hung.let_go.is_set()))
    first.cancel()  # whoever waits goes away; the thread is still there and keeps its turn
    await asyncio.wait({first})
    hung.let_go.set()
    assert await second


def test_a_hung_call_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, threading
from host.threads import DetachedThreads

async def main():
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    def hang():
        loop.call_soon_threadsafe(begun.set)
        threading.Event().wait()
    call = asyncio.ensure_future(DetachedThreads("test", 1).run(hang))
    await begun.wait()

asyncio.run(main())
print("ended")
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=True,
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
