"""ExecSync: run a command in a container and answer with its output."""

from api.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from cri.containers import stdio
from cri.containers.bundle import process_of
from cri.containers.ending import told_by_its_end
from cri.containers.record import Container
from cri.containers.status import get_finished
from cri.node import Node
from cri.subject import of_container
from oci.generate.process import exec_process
from oci.monitor import exec_sync as monitored

# Reported when nobody could see how the command ended.
UNSEEN_EXIT_CODE = -1
# A year; clocks and timers have no room for all numbers of the field.
_LONGEST_S = 365 * 24 * 3600


class NotRunning(FailedPrecondition):
    """Commands run, and streams are joined, only where a process of the container is there."""


class CommandTimedOut(DeadlineExceeded):
    """The command did not end in its time and was killed."""


def living(node: Node, identifier: str) -> Container:
    """The container with this id, if a process of it is there: also before its start (as in CRI-O).

    Raises:
        RecordNotFound: there is none. NotRunning: it has ended.
    """
    container = get_finished(node, identifier)
    if not container.alive:
        raise NotRunning(
            f"container {container.id[:12]} is {container.phase}: "
            "commands run only in a created or running one"
        )
    return container


async def exec_sync(node: Node, request: pb.ExecSyncRequest) -> pb.ExecSyncResponse:
    """Run the command to its end; ``timeout`` 0 waits as long as the client does, and kills it then.

    Raises:
        RecordNotFound, NotRunning: see ``living``. CommandTimedOut: it was killed after ``timeout`` seconds.
        BadContainer: no command. RuntimeFailed: the runtime could not start it. Ended: the container ended.
    """
    if request.timeout < 0:
        raise InvalidArgument(f"timeout {request.timeout} is negative: 0 waits as long as the client does")
    container = living(node, request.container_id)
    with node.operations.track("ExecSync", container.id, of_container(node, container)):
        output = await _run(node, container, request)
    return pb.ExecSyncResponse(
        stdout=output.stdout,
        stderr=output.stderr,
        exit_code=UNSEEN_EXIT_CODE if output.exit_code is None else output.exit_code,
    )


async def _run(node: Node, container: Container, request: pb.ExecSyncRequest) -> monitored.ExecOutput:
    async with told_by_its_end(node, container, "the command"):
        output = await monitored.exec_sync(
            node.monitor,
            container.id,
            node.handlers.get(container.handler),
            exec_process(process_of(node, container), request.cmd, terminal=False),
            timeout_s=float(min(request.timeout, _LONGEST_S)) or None,
            output_limit=_output_limit(node.config.api.grpc_max_send_msg_size),
            stdio_owner=stdio.owner_in(node, container),
        )
    if output.timed_out:
        where = f"command {request.cmd[0]!r} in container {container.id[:12]}"
        raise CommandTimedOut(f"{where} timed out after {request.timeout} s: killed")
    return output


def _output_limit(message_bytes: int) -> int:
    return max(0, min(monitored.OUTPUT_LIMIT, message_bytes - monitored.FRAME_BYTES))
