"""Waiting for what comes about by itself: looked for again and again, never slept for."""

import asyncio
from collections import Counter
from collections.abc import Callable

from tests.harness.patience import patient

TIMEOUT_S = 60.0
POLL_S = 0.01


async def until(look: Callable[[], object], what: str = "", timeout_s: float = TIMEOUT_S) -> None:
    """Look until what is seen is true.

    Raises:
        TimeoutError: it was not within ``timeout_s``, stretched as `tests.harness.patience` says.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patient(timeout_s)
    while not look():
        if loop.time() > end:
            raise TimeoutError(f"waited {patient(timeout_s):.0f} s until {what or 'it is so'}")
        await asyncio.sleep(POLL_S)


async def until_equal(look: Callable[[], object], wanted: object, timeout_s: float = TIMEOUT_S) -> None:
    """Look until it is what is wanted.

    Raises:
        AssertionError: it is not, which says what was seen last.
    """
    seen: list[object] = []

    def is_so() -> bool:
        seen[:] = [look()]
        return seen == [wanted]

    try:
        await until(is_so, timeout_s=timeout_s)
    except TimeoutError as error:
        raise AssertionError(f"{error}; seen last: {seen[0]!r}, wanted: {wanted!r}") from None


async def until_no_more(look: Callable[[], Counter[str]], before: Counter[str]) -> None:
    """Look until there is nothing more of any kind than before: ``before`` may have caught what was passing.

    Raises:
        AssertionError: there is more, which is named.
    """
    await until_equal(lambda: look() - before, Counter())
