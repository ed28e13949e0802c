"""ExecSync: run a command in a container and answer with its output."""

import asyncio
import os
from contextlib import ExitStack

from api.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from cri.containers.bundle import process_of
from cri.containers.record import Container, Phase
from cri.containers.status import get_finished
from cri.node import Node
from oci.generate.process import exec_process

# Of each stream; what comes beyond is read and dropped (CVE-2022-1708).
OUTPUT_LIMIT = 16 * 1024 * 1024
_READ_SIZE = 256 * 1024


class NotRunning(FailedPrecondition):
    """Commands run only in a running container."""


class CommandTimedOut(DeadlineExceeded):
    """The command did not end in its time and was killed."""


def running(node: Node, identifier: str) -> Container:
    """The running container with this id.

    Raises:
        RecordNotFound: there is none. NotRunning: it does not run.
    """
    container = get_finished(node, identifier)
    if container.phase is not Phase.RUNNING:
        raise NotRunning(
            f"container {container.id[:12]} is {container.phase}: commands run only in a running one"
        )
    return container


class Capture:
    """Collects what a pipe delivers, on the event loop, up to OUTPUT_LIMIT bytes."""

    def __init__(self, descriptor: int) -> None:
        """Takes over the read end."""
        self._descriptor = descriptor
        self._chunks: list[bytes] = []
        self._room = OUTPUT_LIMIT
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> bool:
        """Take one chunk; False when there is none now, or the end was reached."""
        try:
            chunk = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return False
        if self._room > 0:
            self._chunks.append(chunk[: self._room])
            self._room -= len(chunk)
        return True

    def drain(self) -> bytes:
        """Everything that was written until now: called when the writer has ended."""
        while self._read():
            pass
        return b"".join(self._chunks)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


async def exec_sync(node: Node, request: pb.ExecSyncRequest) -> pb.ExecSyncResponse:
    """Run the command to its end; ``timeout`` 0 waits as long as the client does.

    Raises:
        RecordNotFound, NotRunning: see ``running``. CommandTimedOut: it was killed after ``timeout`` seconds.
        RuntimeFailed: the runtime could not start it.
    """
    container = running(node, request.container_id)
    if not request.cmd:
        raise InvalidArgument("cmd is empty: give the command to run")
    with ExitStack() as stack:
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        stdout, stderr = Capture(out_read), Capture(err_read)
        stack.callback(stdout.close)
        stack.callback(stderr.close)
        try:
            handle = await node.monitor.exec(
                container.id,
                node.handlers.get(container.handler),
                exec_process(process_of(node, container), list(request.cmd), terminal=False),
                stdout=out_write,
                stderr=err_write,
                start_timeout_s=node.config.runtime.runtime_command_timeout_s,
                run_timeout_s=float(request.timeout),
            )
        finally:
            os.close(out_write)
            os.close(err_write)
        try:
            finished = await handle.wait()
        except asyncio.CancelledError:
            await handle.kill()
            raise
        if finished.timed_out:
            where = f"command {request.cmd[0]!r} in container {container.id[:12]}"
            raise CommandTimedOut(f"{where} timed out after {request.timeout} s: killed")
        return pb.ExecSyncResponse(
            stdout=stdout.drain(),
            stderr=stderr.drain(),
            exit_code=-1 if finished.exit_code is None else finished.exit_code,
        )
