import logging

import pytest

from api.ids import ContainerId
from cri.stuck_logs import StuckLogs
from oci.monitor.types import MonitorUnavailable, StuckLog

FULL = StuckLog(ContainerId("f" * 64), "/logs/full.log", 1_000_000_000, is_refused=True)
HUNG = StuckLog(ContainerId("a" * 64), "/logs/hung.log", 2_000_000_000, is_refused=False)


async def test_each_log_is_named_once_and_once_more_when_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    answers = [[FULL], [FULL], [FULL, HUNG], [HUNG], []]

    async def ask(_: float) -> list[StuckLog]:
        return answers.pop(0)

    stuck = StuckLogs(ask)
    while answers:
        await stuck.look()
    assert caplog.messages == [
        "log /logs/full.log of container ffffffffffff is stuck since 1970-01-01T00:00:01Z: "
        "its file system takes no more: it is probably full",
        "log /logs/hung.log of container aaaaaaaaaaaa is stuck since 1970-01-01T00:00:02Z: "
        "its file system does not answer",
        "log /logs/full.log goes on",
        "log /logs/hung.log goes on",
    ]


async def test_a_silent_monitor_is_a_problem_until_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    is_silent = True

    async def ask(_: float) -> list[StuckLog]:
        if is_silent:
            raise MonitorUnavailable("no answer")
        return [FULL]

    stuck = StuckLogs(ask)
    for _ in range(2):
        await stuck.look()
    assert (stuck.monitor_problem, stuck.logs) == ("no answer", [])
    assert caplog.messages == ["the monitor does not answer: no answer"]
    is_silent = False
    await stuck.look()
    assert (stuck.monitor_problem, stuck.logs) == ("", [FULL])
