"""ContainerStatus."""

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container, Phase
from cri.containers.signals import cri_signal
from cri.node import Node
from cri.store import RecordNotFound


def get_finished(node: Node, text: str) -> Container:
    """The container with this id or prefix, unless it is still being created.

    Raises:
        RecordNotFound: there is none.
    """
    container = node.containers.get(text)
    if container.phase is Phase.CREATING:
        raise RecordNotFound(f"container {container.id} is being created")
    return container


def message(container: Container) -> pb.ContainerStatus:
    """The status message; mounts are the request's own: the kubelet finds its termination log by them."""
    uid, gid, groups = container.user
    return pb.ContainerStatus(
        id=container.id,
        metadata=container.config.metadata,
        state=container.cri_state(),
        created_at=container.created_ns,
        started_at=container.started_ns,
        finished_at=container.finished_ns,
        exit_code=container.exit_code,
        image=container.image_spec(),
        image_ref=container.image_ref or container.image_id,
        image_id=container.image_id,
        reason=container.reason,
        message=container.message,
        labels=container.config.labels,
        annotations=container.config.annotations,
        mounts=container.config.mounts,
        log_path=str(container.log_path) if container.log_path else "",
        resources=pb.ContainerResources(linux=container.config.linux.resources),
        user=pb.ContainerUser(linux=pb.LinuxContainerUser(uid=uid, gid=gid, supplemental_groups=groups)),
        stop_signal=cri_signal(container.stop_signal),
    )


async def container_status(node: Node, request: pb.ContainerStatusRequest) -> pb.ContainerStatusResponse:
    """The status of one container.

    Raises:
        RecordNotFound: no finished container has the id.
    """
    container = get_finished(node, request.container_id)
    return pb.ContainerStatusResponse(
        status=message(container), info=_info(node, container) if request.verbose else None
    )


def _info(node: Node, container: Container) -> dict[str, str]:
    from cri.inspect import verbose  # only people ask for it

    return verbose.of_container(node, container)
