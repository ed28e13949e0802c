"""``podwright ops``: what the running daemon is doing right now, and how long each step took."""

import argparse
import json

from api.errors import Unavailable
from cri.cli.arguments import load_configuration
from cri.cli.output import say

TIMEOUT_S = 5.0


class NoDaemon(Unavailable):
    """Nothing answers on the socket."""


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each running operation, the oldest first.

    Raises:
        NoDaemon: no daemon answers.
    """
    listen = load_configuration(arguments).config.api.listen
    running = _running(str(listen))
    for operation in running:
        say(
            f"{operation['seconds']:8.1f} s  {operation['verb']} {operation['subject']}: {operation['steps']}"
        )
    if not running:
        say("nothing is running")
    return 0


def _running(listen: str) -> list[dict[str, object]]:
    import grpc

    from api.runtime.v1 import api_pb2 as pb
    from api.runtime.v1 import api_pb2_grpc

    with grpc.insecure_channel(f"unix:{listen}") as channel:
        stub = api_pb2_grpc.RuntimeServiceStub(channel)
        try:
            info = stub.Status(pb.StatusRequest(verbose=True), timeout=TIMEOUT_S).info
        except grpc.RpcError as error:
            raise NoDaemon(f"no daemon answers on {listen}: {error.details()}") from error
    running: list[dict[str, object]] = json.loads(info["operations"])["running"]
    return running
