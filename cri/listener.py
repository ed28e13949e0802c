"""The CRI socket: taken over when stale, left alone when somebody answers on it."""

import asyncio
import grp
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from api.errors import FailedPrecondition
from conf.schema import ApiTable, Config
from cri.node import Node
from cri.server import Observer, Traces, generic_handlers
from host.private import Tree, public_directory

PROBE_TIMEOUT_S = 5.0
QUESTIONS = "podwright.v1.Questions"  # of one method, Ask: see cri/questions.py


class SocketNotFree(FailedPrecondition):
    """The configured socket cannot be listened on."""


class UnknownGroup(FailedPrecondition):
    """The group that the socket shall belong to does not exist."""


async def listen(node: Node, observer: Observer | None, traces: Traces | None = None) -> grpc.aio.Server:
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
    server.add_generic_rpc_handlers(generic_handlers(node, slow_seconds, observer, traces))
    server.add_generic_rpc_handlers([_questions(node)])
    _make_directory(config)
    make_way(config.listen)
    try:
        server.add_insecure_port(f"unix:{config.listen}")
    except RuntimeError as error:  # grpc's word for a failed bind
        raise SocketNotFree(f"cannot listen on {config.listen}: {error}") from error
    await server.start()
    open_to(config.listen, config.socket_group)
    return server


def _questions(node: Node) -> Any:
    """gRPC's handler of the podwright command's questions; what answers is imported with the first one."""

    async def ask(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        from cri import questions

        return await questions.answer(node, data, context)

    return grpc.method_handlers_generic_handler(QUESTIONS, {"Ask": grpc.unary_unary_rpc_method_handler(ask)})


async def listen_for_inspection(node: Node) -> asyncio.Server:
    """Listen on the inspection socket, root's alone; what answers there is imported with the first client.

    Raises:
        SocketNotFree, OSError: see listen.
    """
    path = node.config.api.inspection_socket or node.paths.inspection
    serving: list[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not serving:
            from cri.inspect.service import clients

            serving.append(clients(node).serve)
        await serving[0](reader, writer)

    if not path.parent.is_dir():
        public_directory(path.parent)
    make_way(path)
    server = await asyncio.start_unix_server(serve, path)  # mode 0600, by the umask
    path.chmod(0o600)
    return server


def runroot_tree(config: Config) -> Tree:
    """What is to be claimed of runroot: the socket's group passes, if the socket lies there.

    Raises:
        UnknownGroup: see listen.
    """
    passes = config.api.listen.parent == config.runroot
    group = group_id(config.api.socket_group) if passes and config.api.socket_group else None
    return Tree(config.runroot, crowded=("sandboxes", "containers", "mounts", "runtimes"), group=group)


def _make_directory(config: ApiTable) -> None:
    """That of the socket, if it is missing: for root and the socket's group. One that is there stays."""
    directory = config.listen.parent
    if directory.is_dir():
        return
    public_directory(directory.parent)
    directory.mkdir(mode=0o700)
    if config.socket_group:
        os.chown(directory, 0, group_id(config.socket_group))
        directory.chmod(0o710)


def group_id(name: str) -> int:
    """
    Raises:
        UnknownGroup: this machine has no such group.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UnknownGroup(
            f"socket_group of [crio.api]: there is no group {name!r}: groupadd --system {name}"
        ) from error


def open_to(path: Path, group: str) -> None:
    """Let root and the members of ``group`` use the socket; an empty name is root's own group.

    Raises:
        UnknownGroup: this machine has no such group.
    """
    path.chmod(0o660)
    if group:
        os.chown(path, -1, group_id(group))


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
