"""Moves are made ready for once at a time, beside whatever else goes on, and whether that works or not."""

import asyncio
import threading

from cri.cgroups.ahead import MovesAhead
from tests.harness.patience import patient


async def test_moves_that_are_expected_together_are_made_ready_for_once() -> None:
    begun, let_go, count = threading.Semaphore(0), threading.Event(), 0

    def stay() -> None:
        nonlocal count
        count += 1
        begun.release()
        let_go.wait(patient(60))

    ahead = MovesAhead(stay)
    ahead.expect()
    ahead.expect()
    assert await asyncio.to_thread(begun.acquire, timeout=patient(60))
    ahead.expect()
    let_go.set()
    await _over(ahead)
    assert count == 1
    ahead.expect()
    await _over(ahead)
    assert count == 2


async def test_a_refused_move_is_nobodys_error() -> None:
    def stay() -> None:
        raise PermissionError("cgroup.procs")

    ahead = MovesAhead(stay)
    for _ in range(2):
        ahead.expect()
        await _over(ahead)


async def _over(ahead: MovesAhead) -> None:
    async with asyncio.timeout(patient(60)):
        while ahead._under_way is not None:
            await asyncio.sleep(0.001)
