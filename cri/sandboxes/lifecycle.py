"""The life of a pod sandbox: which phase may follow which, its record on disk, and who is told.

Nothing else sets a phase or writes a record. A record is inserted once, when the sandbox's name is taken, and
only updated afterwards, while the store holds the sandbox: a verb that ends after the removal brings nothing
back.
"""

from collections.abc import Mapping

from api.errors import Internal
from api.runtime.v1 import api_pb2 as pb
from cri.node import Node
from cri.publish import publish_sandbox
from cri.sandboxes.record import KIND, Phase, Sandbox

TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.CREATING: frozenset({Phase.READY, Phase.STOPPED}),
    Phase.READY: frozenset({Phase.STOPPING, Phase.STOPPED}),
    Phase.STOPPING: frozenset({Phase.STOPPED}),
    Phase.STOPPED: frozenset(),
}
_EVENTS: Mapping[Phase, tuple[pb.ContainerEventType.ValueType, ...]] = {
    Phase.READY: (pb.CONTAINER_CREATED_EVENT, pb.CONTAINER_STARTED_EVENT),
    Phase.STOPPED: (pb.CONTAINER_STOPPED_EVENT,),
}


class ImpossibleTransition(Internal):
    """No sandbox goes from the phase that it is in to this one."""


def reserve(node: Node, sandbox: Sandbox) -> None:
    """Take the sandbox's name, before anything is made for it."""
    node.records.insert(KIND, sandbox.to_row())
    node.sandboxes.add(sandbox)


def move(node: Node, sandbox: Sandbox, phase: Phase) -> None:
    """Go to ``phase`` with whatever else has changed in the record, and tell observers and who waits for
    an end.

    Raises:
        ImpossibleTransition: see TRANSITIONS.
    """
    if phase not in TRANSITIONS[sandbox.phase]:
        raise ImpossibleTransition(f"sandbox {sandbox.id[:12]} is {sandbox.phase}, not to be {phase}")
    before, sandbox.phase = sandbox.phase, phase
    try:
        save(node, sandbox)
    except BaseException:
        sandbox.phase = before  # whoever tries again finds it as it is on disk
        raise
    if phase is not Phase.READY:
        sandbox.ended.set()
    publish_sandbox(node, sandbox, *_EVENTS.get(phase, ()))


def save(node: Node, sandbox: Sandbox) -> None:
    """Bring the record on disk up to date; one of a sandbox that was removed stays gone."""
    if node.sandboxes.holds(sandbox):
        node.records.update(KIND, sandbox.to_row())


def is_there(node: Node, sandbox: Sandbox) -> bool:
    """Whether there is something to remove: it is in the store, or stands in for an unreadable record."""
    return node.sandboxes.holds(sandbox) or node.quarantine.find(KIND, sandbox.id) is not None


def forget(node: Node, sandbox: Sandbox) -> None:
    """Drop the record and free the name, when nothing of the sandbox is left; repeats are fine."""
    node.records.delete(KIND, sandbox.id)
    node.quarantine.discard(KIND, sandbox.id)
    node.unreadable.discard(sandbox.id)
    node.background.clear(f"record of {KIND} {sandbox.id}")
    if not node.sandboxes.holds(sandbox):
        return
    node.sandboxes.discard(sandbox)
    if sandbox.phase is not Phase.CREATING:
        publish_sandbox(node, sandbox, pb.CONTAINER_DELETED_EVENT)
