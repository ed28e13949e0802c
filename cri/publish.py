"""Events of containers and sandboxes for whoever listens (GetContainerEvents), in the order of what happened.

An event carries the pod's state at that moment and that of all its containers, so that the kubelet need not
ask. It is made in the same breath as the change that it tells of: none overtakes another, and times grow.
"""

from collections.abc import AsyncIterator, Iterator

from api.runtime.v1 import api_pb2 as pb
from cri.containers import record as containers
from cri.containers import status as container_status
from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes import record as sandboxes
from cri.sandboxes import status as sandbox_status
from cri.sandboxes.record import Sandbox


def publish(node: Node, container: Container, kind: pb.ContainerEventType.ValueType) -> None:
    """Tell of a container's change."""
    if node.events.wanted:
        _publish(node, container.id, kind, node.sandboxes.find(container.sandbox_id))


def publish_sandbox(node: Node, sandbox: Sandbox, *kinds: pb.ContainerEventType.ValueType) -> None:
    """Tell of a sandbox' change, or of several that came at once; one that was just forgotten has a state,
    too: the kubelet drops what it knows of a pod only where the event says which."""
    if node.events.wanted:
        for kind in kinds:
            _publish(node, sandbox.id, kind, sandbox)


def _publish(
    node: Node, identifier: str, kind: pb.ContainerEventType.ValueType, sandbox: Sandbox | None
) -> None:
    show = node.quarantine.rendered
    pods = [] if sandbox is None else show(sandboxes.KIND, [sandbox], sandbox_status.message)
    node.events.publish(
        pb.ContainerEventResponse(
            container_id=identifier,
            container_event_type=kind,
            created_at=node.events.now_ns(),
            pod_sandbox_status=pods[0] if pods else None,
            containers_statuses=[] if sandbox is None else statuses(node, sandbox),
        )
    )


def statuses(node: Node, sandbox: Sandbox) -> list[pb.ContainerStatus]:
    """Of all containers of the pod, ended ones and those of its earlier sandboxes among them."""
    return node.quarantine.rendered(containers.KIND, _of_pod(node, sandbox), container_status.message)


def _of_pod(node: Node, sandbox: Sandbox) -> Iterator[Container]:
    uid = sandbox.config.metadata.uid
    same = {one.id for one in node.sandboxes if uid and one.config.metadata.uid == uid} | {sandbox.id}
    for one in node.containers:
        if one.sandbox_id in same and one.phase is not containers.Phase.CREATING:
            yield one


async def pod_sandbox_status(node: Node, request: pb.PodSandboxStatusRequest) -> pb.PodSandboxStatusResponse:
    """PodSandboxStatus; with the containers' statuses and the time where events are served, for the evented
    PLEG takes both for the whole truth.

    Raises:
        RecordNotFound: no finished sandbox has the id.
    """
    answer = await sandbox_status.pod_sandbox_status(node, request)
    sandbox = node.sandboxes.find(answer.status.id) if node.config.runtime.enable_pod_events else None
    if sandbox is not None:
        answer.containers_statuses.extend(statuses(node, sandbox))
        answer.timestamp = node.events.now_ns()
    return answer


async def get_container_events(
    node: Node, request: pb.GetEventsRequest
) -> AsyncIterator[pb.ContainerEventResponse]:
    """Events from now on; ends at once unless ``enable_pod_events`` is set, as in CRI-O."""
    if not node.config.runtime.enable_pod_events:
        return
    async for event in node.events.listen():
        yield event
