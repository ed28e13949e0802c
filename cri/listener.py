"""The CRI socket: taken over when stale, left alone when somebody answers on it."""

import os
import shutil
import socket
from pathlib import Path

import grpc

from api.errors import FailedPrecondition
from cri.node import Node
from cri.server import Observer, generic_handlers

PROBE_TIMEOUT_S = 5.0


class SocketNotFree(FailedPrecondition):
    """The configured socket cannot be listened on."""


class UnknownGroup(FailedPrecondition):
    """The group that the socket shall belong to does not exist."""


async def listen(node: Node, observer: Observer | None) -> grpc.aio.Server:
    """Serve both services on the configured socket.

    Raises:
        SocketNotFree: somebody else answers there, or it is no socket.
        UnknownGroup: there is no such group as is configured for it.
        OSError: its directory cannot be made or written.
    """
    config = node.config.api
    server = grpc.aio.server(
        options=[
            ("grpc.max_send_message_length", config.grpc_max_send_msg_size),
            ("grpc.max_receive_message_length", config.grpc_max_recv_msg_size),
        ]
    )
    slow_seconds = node.config.runtime.slow_operation_seconds
    server.add_generic_rpc_handlers(generic_handlers(node, slow_seconds, observer))
    config.listen.parent.mkdir(parents=True, exist_ok=True)
    make_way(config.listen)
    try:
        server.add_insecure_port(f"unix:{config.listen}")
    except RuntimeError as error:  # grpc's word for a failed bind
        raise SocketNotFree(f"cannot listen on {config.listen}: {error}") from error
    await server.start()
    open_to(config.listen, config.socket_group)
    return server


def open_to(path: Path, group: str) -> None:
    """Let root and the members of ``group`` use the socket; an empty name is root's own group.

    Raises:
        UnknownGroup: this machine has no such group.
    """
    path.chmod(0o660)
    if not group:
        return
    try:
        shutil.chown(path, group=group)
    except LookupError as error:
        raise UnknownGroup(
            f"socket_group of [crio.api]: there is no group {group!r}: groupadd --system {group}"
        ) from error


def make_way(path: Path) -> None:
    """Remove the socket that a daemon which is gone has left.

    Raises:
        SocketNotFree: somebody answers on it, or it is something else than a socket.
    """
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise SocketNotFree(f"{path} is not a socket: remove it, or set another listen of [crio.api]")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # its queue is full: somebody is there
    raise SocketNotFree(f"somebody answers on {path}: stop it, or set another listen of [crio.api]")
