"""The life of a container: which phase may follow which, its record on disk, and who is told.

Nothing else sets a phase or writes a record. A record is inserted once, when the container's name is taken,
and only updated afterwards, while the store holds the container: a verb that ends after the removal brings
nothing back.
"""

from collections.abc import Mapping

from api.errors import Internal
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import KIND, Container, Phase
from cri.node import Node
from cri.publish import publish

TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.CREATING: frozenset({Phase.CREATED}),
    Phase.CREATED: frozenset({Phase.RUNNING, Phase.EXITED}),
    Phase.RUNNING: frozenset({Phase.EXITED}),
    Phase.EXITED: frozenset(),
}
_EVENTS = {
    Phase.CREATED: pb.CONTAINER_CREATED_EVENT,
    Phase.RUNNING: pb.CONTAINER_STARTED_EVENT,
    Phase.EXITED: pb.CONTAINER_STOPPED_EVENT,
}


class ImpossibleTransition(Internal):
    """No container goes from the phase that it is in to this one."""


def reserve(node: Node, container: Container) -> None:
    """Take the container's name, before anything is made for it."""
    node.records.insert(KIND, container.to_row())
    node.containers.add(container)


def move(node: Node, container: Container, phase: Phase) -> None:
    """Go to ``phase`` with whatever else has changed in the record, and tell observers.

    When the record cannot be written the phase stays as it was, but for EXITED: who has ended has ended, and
    ``save`` writes it later.

    Raises:
        ImpossibleTransition: see TRANSITIONS.
    """
    if phase not in TRANSITIONS[container.phase]:
        raise ImpossibleTransition(f"container {container.id[:12]} is {container.phase}, not to be {phase}")
    before, container.phase = container.phase, phase
    try:
        save(node, container)
    except BaseException:
        if phase is Phase.EXITED:
            publish(node, container, _EVENTS[phase])
        else:
            container.phase = before  # whoever tries again finds it as it is on disk
        raise
    publish(node, container, _EVENTS[phase])


def save(node: Node, container: Container) -> None:
    """Bring the record on disk up to date; one of a container that was removed stays gone."""
    if node.containers.holds(container):
        node.records.update(KIND, container.to_row())


def is_there(node: Node, container: Container) -> bool:
    """Whether there is something to remove: it is in the store, or stands in for an unreadable record."""
    return node.containers.holds(container) or node.quarantine.find(KIND, container.id) is not None


def forget(node: Node, container: Container) -> None:
    """Drop the record and free the name, when nothing of the container is left; repeats are fine."""
    node.records.delete(KIND, container.id)
    node.quarantine.discard(KIND, container.id)
    node.unreadable.discard(container.id)
    node.background.clear(f"record of {KIND} {container.id}")
    if not node.containers.holds(container):
        return
    node.containers.discard(container)
    if container.phase is not Phase.CREATING:
        publish(node, container, pb.CONTAINER_DELETED_EVENT)
