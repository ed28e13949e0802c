"""Questions of the ``podwright`` command to its daemon, on the CRI's socket, for whoever may use that.

One method, ``/podwright.v1.Questions/Ask``: JSON in, JSON out (cri/timeline/views.py). What answers is
imported with the first question.
"""

import json
from typing import Any

import grpc

from api.errors import InvalidArgument, PodwrightError
from cri.grpc_errors import message_of, status_of
from cri.node import Node

SERVICE = "podwright.v1.Questions"
LONGEST_QUESTION = 64 << 10


class BadQuestion(InvalidArgument):
    """It is no JSON object."""


def handler(node: Node) -> Any:
    """gRPC's generic handler of the service."""

    async def ask(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        from cri.timeline import views

        try:
            return json.dumps(await views.answer(node, _decoded(data))).encode()
        except (PodwrightError, OSError) as error:
            await context.abort(status_of(error), message_of(error))

    return grpc.method_handlers_generic_handler(SERVICE, {"Ask": grpc.unary_unary_rpc_method_handler(ask)})


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data) if len(data) <= LONGEST_QUESTION else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadQuestion("a question is a JSON object of at most 64 KiB")
    return found
