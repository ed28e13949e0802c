"""Exec and Attach: where the client finds the stream it asked for."""

from api.runtime.v1 import api_pb2 as pb
from cri.containers.exec_sync import living
from cri.node import Node
from cri.streaming.backend import AttachRequest, ExecRequest, Streams


async def exec_stream(node: Node, request: pb.ExecRequest) -> pb.ExecResponse:
    """A URL at which the command runs, once, within a minute.

    Raises:
        InvalidStreamRequest: the arguments contradict each other. RecordNotFound, NotRunning: the container.
        TooManyTokens: too many URLs wait for their clients.
    """
    streams = Streams(request.stdin, request.stdout, request.stderr, request.tty)
    asked = ExecRequest.checked(request.container_id, request.cmd, streams)
    living(node, asked.container_id)
    return pb.ExecResponse(url=node.streaming.exec_url(asked))


async def attach(node: Node, request: pb.AttachRequest) -> pb.AttachResponse:
    """A URL at which the container's own streams are joined, once, within a minute; errors as for Exec."""
    streams = Streams(request.stdin, request.stdout, request.stderr, request.tty)
    asked = AttachRequest.checked(request.container_id, streams)
    living(node, asked.container_id)
    return pb.AttachResponse(url=node.streaming.attach_url(asked))
