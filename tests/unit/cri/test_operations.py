"""Operations: joining repeats, steps, and what a caller that leaves does not stop."""

import asyncio

import pytest

from api.errors import InvalidArgument
from cri.grpc_errors import message_of, steps_of
from cri.operations import Operation, Operations


async def test_a_repeat_joins_the_running_call() -> None:
    operations = Operations(slow_seconds=60)
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), 0

    async def work(operation: Operation) -> str:
        nonlocal runs
        runs += 1
        begun.set()
        await go_on.wait()
        return "id"

    first = asyncio.create_task(operations.run("RunPodSandbox", "a", work))
    await begun.wait()
    second = asyncio.create_task(operations.run("RunPodSandbox", "a", work))
    await asyncio.sleep(0)
    go_on.set()
    assert list(await asyncio.gather(first, second)) == ["id", "id"]
    assert runs == 1
    assert operations.running() == []


async def test_other_subjects_run_beside_each_other() -> None:
    operations = Operations(slow_seconds=60)
    both = asyncio.Barrier(2)

    async def work(operation: Operation) -> str:
        await both.wait()
        return operation.subject

    calls = [operations.run("Stop", subject, work) for subject in ("a", "b")]
    assert await asyncio.gather(*calls) == ["a", "b"]


async def test_a_caller_that_leaves_does_not_stop_the_work() -> None:
    operations = Operations(slow_seconds=60)
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(operation: Operation) -> None:
        begun.set()
        await go_on.wait()
        done.set()

    caller = asyncio.create_task(operations.run("CreateContainer", "a", work))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    await asyncio.wait_for(done.wait(), 5)


async def test_a_failure_says_which_step_it_was_in() -> None:
    operations = Operations(slow_seconds=60)

    async def work(operation: Operation) -> None:
        with operation.step("namespaces"):
            pass
        with operation.step("network"):
            raise InvalidArgument("no such bridge")

    with pytest.raises(InvalidArgument) as caught:
        await operations.run("RunPodSandbox", "a", work)
    assert message_of(caught.value) == "no such bridge"  # what the kubelet makes an event of has no timings
    text = steps_of(caught.value)
    assert text.startswith("namespaces ")
    assert "network " in text
    assert text.endswith("(failed)")


async def test_drain_cancels_what_is_late_so_that_it_undoes_itself() -> None:
    operations = Operations(slow_seconds=60)
    undone = asyncio.Event()

    async def work(operation: Operation) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    caller = asyncio.create_task(operations.run("CreateContainer", "a", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert operations.verbs_on("a") == {"CreateContainer"}
    await operations.drain(timeout_s=0.01)
    assert undone.is_set()
    with pytest.raises(asyncio.CancelledError):
        await caller
