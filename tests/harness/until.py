"""Waiting for what comes about by itself: looked for again and again, never slept for."""

import asyncio
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
            raise TimeoutError(f"waited {patient(timeout_s):.0f} s {what and f'until {what}'}")
        await asyncio.sleep(POLL_S)


async def until_equal(look: Callable[[], object], wanted: object, timeout_s: float = TIMEOUT_S) -> None:
    """Look until it is what is wanted, and compare once more in the end, which shows the difference."""
    try:
        await until(lambda: look() == wanted, timeout_s=timeout_s)
    except TimeoutError:
        assert look() == wanted
