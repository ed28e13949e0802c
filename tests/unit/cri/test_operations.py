"""Operations: joining repeats, steps, and what a caller that leaves does not stop."""

import asyncio
import time
from contextvars import ContextVar

import pytest

from api.errors import DeadlineExceeded, InvalidArgument
from cri.grpc_errors import message_of, steps_of
from cri.operations import Operation, Operations, Step


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


class Heard:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def started(self, operation: Operation) -> None:
        self.words.append(f"started {operation.verb} for {CALLER.get()}")

    def step_ended(self, operation: Operation, step: Step) -> None:
        self.words.append(f"{step.name} {'failed' if step.failed else 'done'}")

    def ended(self, operation: Operation, error: BaseException | None) -> None:
        self.words.append(f"ended {operation.verb}: {error}")


CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


async def test_observers_hear_of_beginning_steps_and_end() -> None:
    operations, heard = Operations(slow_seconds=60), Heard()
    operations.observe(heard)
    CALLER.set("the kubelet")

    async def work(operation: Operation) -> None:
        with operation.step("namespaces"):
            pass
        with operation.step("network"):
            raise InvalidArgument("no such bridge")

    with pytest.raises(InvalidArgument):
        await operations.run("RunPodSandbox", "a", work)
    await asyncio.sleep(0)
    with operations.track("ExecSync", "b"):
        pass
    operations.ignore(heard)
    operations.note("Exited", "c", {})
    assert heard.words == [
        "started RunPodSandbox for the kubelet",
        "namespaces done",
        "network failed",
        "ended RunPodSandbox: no such bridge",
        "started ExecSync for the kubelet",
        "ended ExecSync: None",
    ]


async def test_an_observer_that_fails_harms_no_operation() -> None:
    class Broken(Heard):
        def started(self, operation: Operation) -> None:
            raise ValueError("broken")

        def ended(self, operation: Operation, error: BaseException | None) -> None:
            raise ValueError("broken")

    operations, heard = Operations(slow_seconds=60), Heard()
    operations.observe(Broken())
    operations.observe(heard)
    with operations.track("ExecSync", "b") as operation, operation.step("command"):
        pass
    assert heard.words[-1] == "ended ExecSync: None"
    assert operations.running() == []


async def test_what_has_ended_is_told_with_wall_clock_times_and_in_whose_name() -> None:
    operations, before = Operations(slow_seconds=60), time.time_ns()

    async def work(operation: Operation) -> None:
        operation.about["sandbox_id"] = "5" * 64
        with operation.step("network"):
            raise InvalidArgument("no such bridge")

    with pytest.raises(InvalidArgument):
        await operations.run("RunPodSandbox", "a", work, {"namespace": "tests", "pod": "web"})
    await asyncio.sleep(0)
    (told,) = operations.past()
    assert before <= told["began_ns"] <= time.time_ns()
    assert told["about"] == {"namespace": "tests", "pod": "web", "sandbox_id": "5" * 64}
    assert (told["verb"], told["state"], told["error"]) == ("RunPodSandbox", "failed", "no such bridge")
    assert [(step["name"], step["state"]) for step in told["steps"]] == [("network", "failed")]


async def test_ids_are_of_one_operation_each_and_in_the_order_of_beginnings() -> None:
    operations = Operations(slow_seconds=60)
    for _ in range(200):
        operations.note("Exited", "c", {})
    told = [int(each["id"], 16) for each in operations.past()]
    assert told == sorted(set(told), reverse=True)
    assert len(told) == 200


async def test_callers_are_counted_while_they_wait() -> None:
    operations, go_on = Operations(slow_seconds=60), asyncio.Event()

    async def work(operation: Operation) -> None:
        await go_on.wait()

    calls = [asyncio.create_task(operations.run("Stop", "a", work)) for _ in range(3)]
    await asyncio.sleep(0)
    (operation,) = operations.running()
    calls[0].cancel()
    await asyncio.wait([calls[0]])
    assert (operation.asked, operation.waiting) == (3, 2)
    go_on.set()
    await asyncio.gather(*calls[1:])


async def test_what_is_cut_short_says_so() -> None:
    operations = Operations(slow_seconds=60)
    with pytest.raises(asyncio.CancelledError), operations.track("ExecSync", "a"):
        raise asyncio.CancelledError
    (told,) = operations.past()
    assert (told["state"], told["error"]) == ("cut short", "cut short")


def test_a_client_hears_of_the_step_that_took_long_and_then_failed() -> None:
    """In whole seconds: events with the same text are counted as one."""
    operations = Operations(slow_seconds=60)

    def fail_after_20_s() -> None:
        with operations.track("RunPodSandbox", "a") as operation:
            with operation.step("namespaces"):
                pass
            with operation.step("network"):
                operation.steps[-1].started -= 20.2
                raise DeadlineExceeded("plugin slow said nothing")

    with pytest.raises(DeadlineExceeded) as caught:
        fail_after_20_s()
    assert message_of(caught.value) == 'plugin slow said nothing [in step "network" after 20 s]'
