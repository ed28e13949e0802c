"""ReopenContainerLog: the kubelet has renamed the log; make the new file before answering."""

from api.errors import FailedPrecondition
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Phase
from cri.containers.status import get_finished
from cri.node import Node


class NotRunning(FailedPrecondition):
    """Only a running container writes a log."""


async def reopen_container_log(
    node: Node, request: pb.ReopenContainerLogRequest
) -> pb.ReopenContainerLogResponse:
    """Go on in a new file under the same path.

    Raises:
        RecordNotFound: no such container. NotRunning: it does not run.
    """
    container = get_finished(node, request.container_id)
    if container.phase is not Phase.RUNNING:
        raise NotRunning(
            f"container {container.id[:12]} is {container.phase}: only a running one has a log to reopen"
        )
    await node.monitor.reopen_log(container.id)
    return pb.ReopenContainerLogResponse()
