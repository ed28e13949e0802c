"""What the streaming server runs and reaches: processes by the monitor, sockets in the pod's network.

Bytes move by descriptors: the runtime gets the far ends of pipes, or the server gets the terminal's
master; only what a client types into an attached container passes through here, since its end must be
noticed.
"""

import asyncio
import errno
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from api.errors import Unavailable
from conf.schema import ApiTable
from cri.containers import stdio
from cri.containers.bundle import process_of
from cri.containers.exec_sync import running
from cri.containers.record import Container
from cri.node import Node
from cri.parts import Monitor
from cri.sandboxes.port_forward import ready_sandbox
from cri.streaming.backend import AttachRequest, ExecRequest, Stdio
from cri.streaming.descriptors import read_some, write_all
from cri.streaming.server import StreamingServer
from cri.streaming.timeouts import Timeouts
from cri.streaming.tls import TlsFiles
from host.fds import close_all
from host.namespaces import in_namespace
from host.pty import set_window_size
from oci.generate.process import exec_process
from oci.monitor.handles import Attachment, ExecHandle

# Reported when nobody could see how a process ended.
UNSEEN_EXIT_CODE = 255
DIAL_TIMEOUT_S = 10.0
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class PortRefused(Unavailable):
    """Nothing in the pod listens on the port."""


@dataclass(slots=True)
class _Ends:
    """Pipes between the server (``ours``) and a process (``theirs``), by stream."""

    ours: dict[str, int]
    theirs: dict[str, int]

    @classmethod
    def make(cls, *, stdin: bool, stdout: bool, stderr: bool) -> "_Ends":
        ends = cls({}, {})
        for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            if wanted:
                reading, writing = os.pipe2(os.O_CLOEXEC)
                ends.ours[name] = writing if name == "stdin" else reading
                ends.theirs[name] = reading if name == "stdin" else writing
        return ends


class ExecSession:
    """A process started in a container."""

    def __init__(self, handle: ExecHandle, stdio: Stdio) -> None:
        self._handle = handle
        self.stdio = stdio

    async def wait(self) -> int:
        finished = await self._handle.wait()
        return UNSEEN_EXIT_CODE if finished.exit_code is None else finished.exit_code

    async def resize(self, width: int, height: int) -> None:
        if self.stdio.tty is not None:
            set_window_size(self.stdio.tty, width, height)

    async def close(self, *, kill: bool) -> None:
        if kill:
            await self._handle.kill()
        self._handle.close()


class AttachSession:
    """A container's own process, joined."""

    def __init__(self, monitor: Monitor, container: Container, attachment: Attachment, stdio: Stdio) -> None:
        self._monitor = monitor
        self._container = container
        self._attachment = attachment
        self.stdio = stdio
        self._feeding: asyncio.Task[None] | None = None

    def feed(self, typed: int) -> None:
        """Carry what is read from ``typed``, which is taken over, to the container's stdin."""
        self._feeding = asyncio.create_task(self._feed(typed), name=f"attach {self._container.id}")

    async def _feed(self, typed: int) -> None:
        """After the end of the input a client stays for the output only if that input was the only one.

        Else it has detached, and the end of the output tells it so: after Ctrl-P Ctrl-Q crictl waits for it.
        """
        stdin = self._attachment.stdin
        try:
            while stdin is not None and (data := await read_some(typed)):
                await write_all(stdin, data)
            if self._container.config.stdin_once and not self._container.config.tty:
                self._attachment.return_stdin()
                await self._monitor.close_stdin(self._container.id)
            else:
                await self._attachment.close()
        except OSError:
            return  # the process takes no more input; its end is told by wait()
        finally:
            os.close(typed)

    async def wait(self) -> int:
        await self._container.exited.wait()
        return self._container.exit_code

    async def resize(self, width: int, height: int) -> None:
        if self._container.config.tty:
            await self._monitor.resize(self._container.id, width, height)

    async def close(self, *, kill: bool) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        await self._attachment.close()


class StreamBackend:
    """``node`` is called when a client comes, since the server is itself a part of the node."""

    def __init__(self, node: Callable[[], Node]) -> None:
        self._node = node

    async def exec(self, request: ExecRequest) -> ExecSession:
        """Start the command.

        Raises:
            RecordNotFound, NotRunning: the container. RuntimeFailed: the runtime's own words.
        """
        node, streams = self._node(), request.streams
        container = running(node, request.container_id)
        process = exec_process(process_of(node, container), request.command, terminal=streams.tty)
        wanted = not streams.tty
        ends = _Ends.make(
            stdin=wanted and streams.stdin, stdout=wanted and streams.stdout, stderr=wanted and streams.stderr
        )
        try:
            handle = await node.monitor.exec(
                container.id,
                node.handlers.get(container.handler),
                process,
                **ends.theirs,
                stdio_owner=stdio.owner_in(node, container),
            )
        except BaseException:
            close_all(ends.ours.values())
            raise
        finally:
            close_all(ends.theirs.values())
        return ExecSession(handle, Stdio(**ends.ours, tty=handle.take_console()))

    async def attach(self, request: AttachRequest) -> AttachSession:
        """Join the container's streams.

        Raises:
            RecordNotFound, NotRunning: the container.
        """
        node, streams = self._node(), request.streams
        container = running(node, request.container_id)
        takes_input = streams.stdin and container.config.stdin
        ends = _Ends.make(
            stdin=takes_input, stdout=streams.stdout, stderr=streams.stderr and not container.config.tty
        )
        typed = ends.theirs.pop("stdin", None)
        try:
            attachment = await node.monitor.attach(container.id, stdin=takes_input, **ends.theirs)
        except BaseException:
            close_all([*ends.ours.values(), *([] if typed is None else [typed])])
            raise
        finally:
            close_all(ends.theirs.values())
        session = AttachSession(node.monitor, container, attachment, Stdio(**ends.ours))
        if typed is not None:
            os.set_blocking(typed, False)
            session.feed(typed)
        return session

    async def dial(self, sandbox_id: str, port: int) -> socket.socket:
        """Connect to a port of the pod's localhost, IPv4 before IPv6.

        Raises:
            RecordNotFound, SandboxNotReady: the sandbox. PortRefused: both connections failed; why.
        """
        sandbox = ready_sandbox(self._node(), sandbox_id)
        failures = []
        for family, address in _ADDRESSES:
            try:
                return await _connect(sandbox.namespaces.get("net"), family, address, port)
            except (OSError, TimeoutError) as error:
                # asyncio puts its own words into strerror.
                failures.append(f"{address}: {os.strerror(error.errno or errno.ETIMEDOUT)}")
        raise PortRefused(f"port {port} of sandbox {sandbox.id[:12]}: {'; '.join(failures)}")


async def _connect(
    namespace: os.PathLike[str] | None, family: socket.AddressFamily, address: str, port: int
) -> socket.socket:
    """A non-blocking socket that lives in ``namespace``, or in the node's when there is none."""

    def make() -> socket.socket:
        return socket.socket(family, socket.SOCK_STREAM)

    client = make() if namespace is None else await asyncio.to_thread(in_namespace, namespace, make)
    try:
        client.setblocking(False)
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(client, (address, port))
    except BaseException:
        client.close()
        raise
    return client


def streaming_server(config: ApiTable, node: Callable[[], Node]) -> StreamingServer:
    """The server that the configuration describes; start it before its URLs are given out.

    Raises:
        BadTls: TLS is switched on without a certificate or key.
    """
    return StreamingServer(
        StreamBackend(node),
        address=config.stream_address,
        port=config.stream_port,
        tls=TlsFiles.of(config),
        timeouts=Timeouts(idle_s=config.stream_idle_timeout or math.inf),
    )
