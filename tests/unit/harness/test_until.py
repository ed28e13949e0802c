"""Waiting for what comes about by itself."""

import asyncio

import pytest

from tests.harness.until import until, until_equal


async def test_what_comes_about_is_waited_for() -> None:
    came = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, came.set)
    await until(came.is_set)
    await until_equal(came.is_set, True)


async def test_what_does_not_is_named() -> None:
    with pytest.raises(TimeoutError, match="until pigs fly"):
        await until(lambda: False, "pigs fly", timeout_s=0)
    with pytest.raises(AssertionError):
        await until_equal(lambda: 1, 2, timeout_s=0)
