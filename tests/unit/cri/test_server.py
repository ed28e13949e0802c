"""How bad a failed call is for the node's owner."""

import asyncio
import logging
from typing import Any, cast

import pytest

from api.errors import Internal, NotFound
from api.runtime.v1 import api_pb2 as pb
from cri.containers.exec_sync import CommandTimedOut, NotRunning
from cri.logs import subject
from cri.node import Node
from cri.server import UNARY, Calls, level_of
from cri.store import RecordNotFound


@pytest.mark.parametrize(
    ("verb", "error", "level"),
    [
        ("ExecSync", CommandTimedOut("x"), logging.INFO),
        ("ExecSync", NotRunning("x"), logging.INFO),
        ("ExecSync", Internal("no such program"), logging.INFO),
        ("ExecSync", KeyError("x"), logging.ERROR),
        ("ContainerStatus", RecordNotFound("x"), logging.DEBUG),
        ("PullImage", NotFound("no such tag"), logging.ERROR),
        ("CreateContainer", NotFound("no such image"), logging.ERROR),
    ],
)
def test_the_level_of_a_failed_call(verb: str, error: Exception, level: int) -> None:
    assert level_of(verb, error) == level


async def test_every_line_of_a_call_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of the tasks that it begins; two calls have two numbers."""
    told: list[object] = []

    async def verb(node: Node, request: pb.VersionRequest) -> pb.VersionResponse:
        told.append(subject()["request"])
        await asyncio.create_task(later())
        return pb.VersionResponse()

    async def later() -> None:
        told.append(subject()["request"])

    monkeypatch.setitem(UNARY, "Version", verb)
    method = pb.DESCRIPTOR.services_by_name["RuntimeService"].methods_by_name["Version"]
    node = Node(**dict.fromkeys(Node.__dataclass_fields__, cast(Any, None)))
    handler = Calls(node, 60).handler("runtime.v1.RuntimeService", method)
    for _ in range(2):
        await handler.unary_unary(pb.VersionRequest(), None)
    first, of_its_task, second, _ = told
    assert first == of_its_task
    assert first != second
    assert subject() == {}
