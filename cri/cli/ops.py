"""``podwright ops``: what the running daemon does right now, step by step, and what does not work."""

import argparse
import json
import socket
from collections.abc import Mapping

from api.errors import Unavailable
from cri.cli.arguments import load_configuration
from cri.cli.output import show

TIMEOUT_S = 5.0


class NoDaemon(Unavailable):
    """Nothing answers on the socket."""


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each running operation, the oldest first, and one for whatever is in trouble.

    Raises:
        NoDaemon: no daemon answers.
    """
    listen = load_configuration(arguments).config.api.listen
    info = daemon_info(str(listen))
    running = json.loads(info["operations"])["running"]
    troubles = json.loads(info.get("troubles", "[]"))
    lines = [
        f"{each['seconds']:8.1f} s  {each['verb']} {each['subject']}: {each['steps']}" for each in running
    ]
    lines = lines or ["nothing is running"]
    lines += [f" trouble  {trouble['subject']}: {trouble['error']}" for trouble in troubles]
    show(arguments.output, {"running": running, "troubles": troubles}, lines)
    return 0


def daemon_info(listen: str) -> Mapping[str, str]:
    """What the daemon says of itself in Status.

    Raises:
        NoDaemon: no daemon answers.
    """
    _knock(listen)
    import grpc

    from api.runtime.v1 import api_pb2 as pb
    from api.runtime.v1 import api_pb2_grpc

    with grpc.insecure_channel(f"unix:{listen}") as channel:
        stub = api_pb2_grpc.RuntimeServiceStub(channel)
        try:
            return dict(stub.Status(pb.StatusRequest(verbose=True), timeout=TIMEOUT_S).info)
        except grpc.RpcError as error:
            why = error.details()
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                why = f"whoever listens there says nothing within {TIMEOUT_S:.0f} s"
            raise NoDaemon(f"no daemon answers on {listen}: {why}") from error


def _knock(listen: str) -> None:
    """Fail at once, and in plain words, where nobody listens: gRPC tells of its attempts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(TIMEOUT_S)
        try:
            probe.connect(listen)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoDaemon(
                f"no daemon answers on {listen}: {error.strerror}; start it (systemctl start podwright), "
                "or name its configuration (--config)"
            ) from error
        except PermissionError as error:
            raise NoDaemon(f"no daemon answers on {listen}: {error.strerror}; ask as root") from error
        except OSError as error:
            raise NoDaemon(f"no daemon answers on {listen}: {error.strerror or error}") from error
