"""Container events for whoever listens (GetContainerEvents)."""

import time
from collections.abc import AsyncIterator

from api.runtime.v1 import api_pb2 as pb
from cri.containers import status as container_status
from cri.containers.record import KIND, Container, Phase
from cri.node import Node
from cri.sandboxes import record as sandboxes
from cri.sandboxes import status as sandbox_status


def publish(node: Node, container: Container, kind: pb.ContainerEventType.ValueType) -> None:
    """Tell of a change, with the pod's state beside it so that the kubelet need not ask."""
    if not node.events.wanted:
        return
    sandbox = node.sandboxes.find(container.sandbox_id)
    siblings = [item for item in node.containers if item.sandbox_id == container.sandbox_id]
    show = node.quarantine.rendered
    pods = [] if sandbox is None else show(sandboxes.KIND, [sandbox], sandbox_status.message)
    event = pb.ContainerEventResponse(
        container_id=container.id,
        container_event_type=kind,
        created_at=time.time_ns(),
        pod_sandbox_status=pods[0] if pods else None,
        containers_statuses=show(
            KIND, [one for one in siblings if one.phase is not Phase.CREATING], container_status.message
        ),
    )
    node.events.publish(event)


async def get_container_events(
    node: Node, request: pb.GetEventsRequest
) -> AsyncIterator[pb.ContainerEventResponse]:
    """Events from now on; ends at once unless ``enable_pod_events`` is set, as in CRI-O."""
    if not node.config.runtime.enable_pod_events:
        return
    async for event in node.events.listen():
        yield event
