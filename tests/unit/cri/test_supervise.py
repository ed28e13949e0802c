"""Background work: an error is its object's, is listed, and is tried again; nothing of it ends the others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cri.supervise import Supervisor


class Failing:
    """Work that fails so often before it succeeds; ``done`` is set then."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tries = 0
        self.done = asyncio.Event()

    async def __call__(self) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise OSError(28, f"try {self.tries}")
        self.done.set()


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor(first_pause_s=0.001, longest_pause_s=0.002)
    yield made
    await made.close()


async def until(right: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not right():
            await asyncio.sleep(0.001)


async def test_what_fails_is_tried_until_it_succeeds_and_listed_meanwhile(supervisor: Supervisor) -> None:
    work, other = Failing(3), Failing(0)
    supervisor.until_done("exit of a", work)
    supervisor.until_done("exit of b", other)
    await until(supervisor.troubles)
    [trouble] = supervisor.troubles()
    assert (trouble.key, "try" in trouble.error) == ("exit of a", True)
    await work.done.wait()
    await until(lambda: not supervisor.troubles())
    assert (work.tries, other.tries) == (4, 1)


@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("odd"), AssertionError(), MemoryError()])
async def test_no_error_of_a_service_ends_it(supervisor: Supervisor, error: Exception) -> None:
    begun = []

    async def service() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise error
        await asyncio.Event().wait()

    supervisor.forever("service", service)
    await until(lambda: len(begun) == 3)
    assert [trouble.key for trouble in supervisor.troubles()] == ["service"]


async def test_a_service_that_ends_is_begun_anew(supervisor: Supervisor) -> None:
    begun = []

    async def service() -> None:
        begun.append(1)

    supervisor.forever("service", service)
    await until(lambda: len(begun) > 2)


async def test_newer_work_of_a_key_takes_the_place_of_what_fails(supervisor: Supervisor) -> None:
    former, newer = Failing(10**9), Failing(0)
    supervisor.until_done("key", former)
    await until(supervisor.troubles)
    supervisor.until_done("key", newer)
    await newer.done.wait()
    await until(lambda: not supervisor.troubles())
    tries = former.tries
    await asyncio.sleep(0.01)
    assert former.tries == tries


async def test_one_key_is_worked_on_by_one_at_a_time(supervisor: Supervisor) -> None:
    at_work, most = 0, 0

    async def work() -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1

    for _ in range(20):
        supervisor.until_done("key", work)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert most == 1


async def test_an_attempt_says_how_it_went_and_goes_on_behind(supervisor: Supervisor) -> None:
    work = Failing(1)
    assert not await supervisor.attempt("key", work)
    await work.done.wait()
    assert await supervisor.attempt("key", work)
    assert supervisor.troubles() == []


async def test_first_tries_wait_for_those_that_end_and_not_for_one_that_hangs(supervisor: Supervisor) -> None:
    quick, failing = Failing(0), Failing(10**9)
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "quick": quick,
        "failing": failing,
        "hanging": lambda: asyncio.Event().wait(),
    }
    await supervisor.first_tries(works, 0.05)
    assert quick.done.is_set()
    assert failing.tries >= 1


async def test_what_is_cancelled_is_not_tried_again(supervisor: Supervisor) -> None:
    work = Failing(10**9)
    supervisor.until_done("key", work)
    await until(supervisor.troubles)
    supervisor.cancel("key")
    assert supervisor.troubles() == []
    tries = work.tries
    await asyncio.sleep(0.01)
    assert work.tries == tries


async def test_the_text_of_an_error_is_bounded(supervisor: Supervisor) -> None:
    supervisor.note("key", ValueError("x" * 3_000_000))
    [trouble] = supervisor.troubles()
    assert len(trouble.error) == 1000
    supervisor.clear("key")
    assert supervisor.troubles() == []
