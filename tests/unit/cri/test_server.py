"""How bad a failed call is for the node's owner."""

import logging

import pytest

from api.errors import Internal, NotFound
from cri.containers.exec_sync import CommandTimedOut, NotRunning
from cri.server import level_of
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
