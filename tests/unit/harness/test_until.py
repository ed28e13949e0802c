"""Waiting for what comes about by itself."""

import asyncio
from collections import Counter

import pytest

from tests.harness.until import until, until_equal, until_no_more


async def test_what_comes_about_is_waited_for() -> None:
    came = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, came.set)
    await until(came.is_set)
    await until_equal(came.is_set, True)


async def test_fewer_than_before_will_do_and_one_more_will_not() -> None:
    before = Counter({"socket": 2, "pipe": 1})
    await until_no_more(lambda: Counter({"socket": 2}), before)
    with pytest.raises(AssertionError, match="'pipe': 1"):
        await until_equal(lambda: Counter({"socket": 1, "pipe": 2}) - before, Counter(), timeout_s=0)


async def test_what_does_not_is_named() -> None:
    with pytest.raises(TimeoutError, match="until pigs fly"):
        await until(lambda: False, "pigs fly", timeout_s=0)
    with pytest.raises(AssertionError, match="seen last: 1, wanted: 2"):
        await until_equal(lambda: 1, 2, timeout_s=0)
