"""What the streaming server runs and reaches: processes by the monitor, sockets in the pod's network.

Bytes move by descriptors: the runtime gets the far ends of pipes, or the server gets the terminal's
master or a loan of the container's stdin. None of them passes through the daemon.
"""

import asyncio
import errno
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from api.errors import Unavailable
from conf.schema import Config
from cri.containers import stdio
from cri.containers.bundle import process_of
from cri.containers.ending import told_by_its_end
from cri.containers.exec_sync import living
from cri.containers.record import Container
from cri.node import Node
from cri.parts import Monitor
from cri.sandboxes.port_forward import ready_sandbox
from cri.streaming.backend import AttachRequest, ExecRequest, Stdio
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
# However many connections a client wants at once: the threads are those of all verbs.
_THREADS_AT_ONCE = 4
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

    async def input_ended(self) -> None:
        """Nothing: the process reads the end of its pipe."""

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

    async def wait(self) -> int:
        await self._container.exited.wait()
        return self._container.exit_code

    async def resize(self, width: int, height: int) -> None:
        if self._container.config.tty:
            await self._monitor.resize(self._container.id, width, height)

    async def input_ended(self) -> None:
        """The loan is given back by now. A client stays for the output only if its input was the only one.

        Else it has detached, and the end of the output tells it so: after Ctrl-P Ctrl-Q crictl waits for it.
        """
        if self._container.config.stdin_once and not self._container.config.tty:
            await self._monitor.close_stdin(self._container.id)
        else:
            await self._attachment.close()

    async def close(self, *, kill: bool) -> None:
        await self._attachment.close()


class StreamBackend:
    """``node`` is called when a client comes, since the server is itself a part of the node."""

    def __init__(self, node: Callable[[], Node]) -> None:
        self._node = node
        self._entering = asyncio.Semaphore(_THREADS_AT_ONCE)

    async def exec(self, request: ExecRequest) -> ExecSession:
        """Start the command.

        Raises:
            RecordNotFound, NotRunning, Ended: the container. RuntimeFailed: the runtime's own words.
        """
        node, streams = self._node(), request.streams
        container = living(node, request.container_id)
        wanted = not streams.tty
        ends = _Ends.make(
            stdin=wanted and streams.stdin, stdout=wanted and streams.stdout, stderr=wanted and streams.stderr
        )
        try:
            async with told_by_its_end(node, container, "the command"):
                process = exec_process(process_of(node, container), request.command, terminal=streams.tty)
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
        container = living(node, request.container_id)
        takes_input = streams.stdin and container.config.stdin
        ends = _Ends.make(
            stdin=False, stdout=streams.stdout, stderr=streams.stderr and not container.config.tty
        )
        try:
            attachment = await node.monitor.attach(container.id, stdin=takes_input, **ends.theirs)
        except BaseException:
            close_all(ends.ours.values())
            raise
        finally:
            close_all(ends.theirs.values())
        stdio = Stdio(**ends.ours, stdin=attachment.take_stdin())
        return AttachSession(node.monitor, container, attachment, stdio)

    async def dial(self, sandbox_id: str, port: int) -> socket.socket:
        """Connect to a port of the pod's localhost, IPv4 before IPv6.

        Raises:
            RecordNotFound, SandboxNotReady: the sandbox. PortRefused: both connections failed; why.
        """
        sandbox = ready_sandbox(self._node(), sandbox_id)
        failures = []
        for family, address in _ADDRESSES:
            try:
                return await self._connect(sandbox.namespaces.get("net"), family, address, port)
            except (OSError, TimeoutError) as error:
                # asyncio puts its own words into strerror.
                failures.append(f"{address}: {os.strerror(error.errno or errno.ETIMEDOUT)}")
        raise PortRefused(f"port {port} of sandbox {sandbox.id[:12]}: {'; '.join(failures)}")

    async def _connect(
        self, namespace: os.PathLike[str] | None, family: socket.AddressFamily, address: str, port: int
    ) -> socket.socket:
        """A non-blocking socket that lives in ``namespace``, or in the node's when there is none."""

        def make() -> socket.socket:
            return socket.socket(family, socket.SOCK_STREAM)

        if namespace is None:
            client = make()
        else:
            async with self._entering:
                client = await asyncio.to_thread(in_namespace, namespace, make)
        try:
            client.setblocking(False)
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(client, (address, port))
        except BaseException:
            client.close()
            raise
        return client


def streaming_server(config: Config, node: Callable[[], Node]) -> StreamingServer:
    """The server that the configuration describes; start it before its URLs are given out.

    Raises:
        BadTls: TLS is switched on without a certificate or key.
    """
    api, runtime = config.api, config.runtime
    return StreamingServer(
        StreamBackend(node),
        address=api.stream_address,
        port=api.stream_port,
        tls=TlsFiles.of(api),
        timeouts=Timeouts(idle_s=api.stream_idle_timeout or math.inf),
        host_names=api.stream_host_names,
        log=(runtime.log_level, runtime.log_format),
        name=str(config.runroot),
    )
