"""``podwright ops``: what the running daemon does right now, step by step, and what does not work."""

import argparse
import json
import socket
from collections.abc import Mapping
from typing import Any

from api.errors import FailedPrecondition, Unavailable
from cri.cli.arguments import load_configuration
from cri.cli.live import repeat
from cri.timeline.form import bar, bytes_text

TIMEOUT_S = 5.0
ANSWER_S = 60.0
SERVICE = "podwright.v1.Questions"


class NoDaemon(Unavailable):
    """Nothing answers on the socket."""


class Refused(FailedPrecondition):
    """The daemon answers with an error."""


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each running operation, the oldest first, and one for whatever is in trouble.

    Raises:
        NoDaemon: no daemon answers.
    """
    listen = str(load_configuration(arguments).config.api.listen)
    repeat(arguments, lambda: ask(listen, {"ask": "running"}), _lines)
    return 0


def _lines(answer: Mapping[str, Any]) -> list[str]:
    lines = [line for each in answer["running"] for line in operation_lines(each)] or ["nothing is running"]
    return lines + [f" trouble  {trouble['subject']}: {trouble['error']}" for trouble in answer["troubles"]]


def operation_lines(each: Mapping[str, Any]) -> list[str]:
    """One that runs, with its steps and, of a pull, its layers."""
    steps = ", ".join(step_text(step) for step in each.get("steps", ()))
    head = f"{each['ms'] / 1000:8.1f} s  {each['verb']} {each['subject']}"
    return [f"{head}: {steps}" if steps else head, *(f"            {line}" for line in progress_lines(each))]


def step_text(step: Mapping[str, Any]) -> str:
    """``network 3.1 ms (running)``."""
    remark = "" if step["state"] == "done" else f" ({step['state']})"
    return f"{step['name']} {step['ms']:.1f} ms{remark}"


def progress_lines(each: Mapping[str, Any]) -> list[str]:
    """A bar for a pull as a whole and one for each layer that is not here yet."""
    progress = each.get("progress")
    if not progress:
        return []
    head = (
        f"{bar(progress['done_bytes'], progress['total_bytes'])} {bytes_text(progress['done_bytes'])} of "
        f"{bytes_text(progress['total_bytes'])}, {progress['done_layers']} of {progress['total_layers']} "
        f"layers, {bytes_text(progress['rate'])}/s"
    )
    return [head, *(layer_line(layer) for layer in progress["layers"] if layer["state"] != "here")]


def layer_line(layer: Mapping[str, Any]) -> str:
    """One layer of a pull."""
    name = str(layer["name"]).removeprefix("sha256:")[:12]
    amount = f"{bytes_text(layer['done_bytes'])} of {bytes_text(layer['size_bytes'])}"
    rate = f", {bytes_text(layer['rate'])}/s" if layer["state"] == "fetching" else ""
    return f"{bar(layer['done_bytes'], layer['size_bytes'])} {name} {layer['state']}, {amount}{rate}"


def ask(listen: str, question: Mapping[str, object]) -> dict[str, Any]:
    """What the daemon answers to one of the questions of cri/timeline/views.py.

    Raises:
        NoDaemon: no daemon answers. Refused: it answers with an error.
    """
    _knock(listen)
    import grpc

    with grpc.insecure_channel(
        f"unix:{listen}", options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        try:
            grpc.channel_ready_future(channel).result(TIMEOUT_S)
            answer = channel.unary_unary(f"/{SERVICE}/Ask", bytes, bytes)(
                json.dumps(question).encode(), timeout=ANSWER_S
            )
        except grpc.FutureTimeoutError as error:
            why = f"whoever listens there says nothing within {TIMEOUT_S:.0f} s"
            raise NoDaemon(f"no daemon answers on {listen}: {why}") from error
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise NoDaemon(f"no daemon answers on {listen}: {error.details()}") from error
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise Refused(f"the daemon on {listen} is of an older release: restart it") from error
            raise Refused(error.details()) from error
    found: dict[str, Any] = json.loads(answer)
    return found


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
