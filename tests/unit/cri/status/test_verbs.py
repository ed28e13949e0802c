import json
from types import SimpleNamespace
from typing import Any

import pytest

from api.ids import ContainerId
from api.runtime.v1 import api_pb2 as pb
from conf.schema import Config
from cri.node import Node
from cri.status.verbs import status
from cri.stuck_logs import StuckLogs
from oci.monitor.types import MonitorUnavailable, StuckLog


async def asked(answer: list[StuckLog] | Exception) -> StuckLogs:
    async def ask(_: float) -> list[StuckLog]:
        if isinstance(answer, Exception):
            raise answer
        return answer

    stuck = StuckLogs(ask)
    await stuck.look()
    return stuck


def node(stuck_logs: StuckLogs, problem: str = "") -> Node:
    parts: dict[str, Any] = dict.fromkeys(Node.__dataclass_fields__)
    handlers = SimpleNamespace(
        problem=lambda: problem, messages=lambda _: [], has_user_namespaces=lambda *_: False
    )
    network = SimpleNamespace(ready=lambda: SimpleNamespace(ok=True, reason="", message=""))
    parts |= {
        "config": Config(),
        "paths": SimpleNamespace(runroot="/run"),
        "handlers": handlers,
        "network": network,
        "operations": SimpleNamespace(running=list),
        "stuck_logs": stuck_logs,
        "background": SimpleNamespace(troubles=list),
        "space": SimpleNamespace(problems=list),
        "records": SimpleNamespace(problem=""),
        "images": SimpleNamespace(problems=tuple),
    }
    return Node(**parts)


@pytest.mark.parametrize(
    ("answer", "problem", "is_ready", "reason"),
    [
        ([], "", True, ""),
        ([], "no crun", False, "NoRuntime"),
        (MonitorUnavailable("no answer"), "", False, "MonitorSilent"),
    ],
)
async def test_the_runtime_is_ready_while_there_is_one_and_the_monitor_answers(
    answer: list[StuckLog] | Exception, problem: str, is_ready: bool, reason: str
) -> None:
    response = await status(node(await asked(answer), problem), pb.StatusRequest())
    condition = next(one for one in response.status.conditions if one.type == "RuntimeReady")
    assert (condition.status, condition.reason) == (is_ready, reason)


async def test_logs_that_are_stuck_are_told_and_leave_the_node_ready() -> None:
    log = StuckLog(ContainerId("f" * 64), "/logs/a.log", 1, is_refused=True)
    response = await status(node(await asked([log])), pb.StatusRequest(verbose=True))
    [trouble] = json.loads(response.info["troubles"])
    assert trouble["subject"] == "logs"
    assert "/logs/a.log" in trouble["error"]
    assert all(condition.status for condition in response.status.conditions)
