"""Questions of the ``podwright`` command to its daemon, on the CRI's socket, for whoever may use that.

One method, ``/podwright.v1.Questions/Ask``: JSON in, JSON out (cri/timeline/views.py).
"""

import json
from typing import Any

import grpc

from api.errors import InvalidArgument, PodwrightError
from cri.grpc_errors import message_of, status_of
from cri.node import Node
from cri.timeline import views

LONGEST_QUESTION = 64 << 10


class BadQuestion(InvalidArgument):
    """It is no JSON object."""


async def answer(node: Node, data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The answer as JSON; an error is a status with its words."""
    try:
        return json.dumps(await views.answer(node, decoded(data))).encode()
    except (PodwrightError, OSError) as error:
        await context.abort(status_of(error), message_of(error))


def decoded(data: bytes) -> dict[str, Any]:
    """
    Raises:
        BadQuestion: it is none.
    """
    try:
        found = json.loads(data) if len(data) <= LONGEST_QUESTION else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadQuestion("a question is a JSON object of at most 64 KiB")
    return found
