"""Who the pipes of a container's processes belong to: who opens /dev/stdout anew must be allowed to."""

from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes.record import Sandbox

Ids = tuple[int, int]


def owner(container: Container, sandbox: Sandbox | None) -> Ids:
    """Uid and gid on the node of the container's user, in a user namespace; else (0, 0).

    Elsewhere the runtime gives the pipes to the user; here it may not, as their first owner has no id inside.
    """
    if sandbox is None or not sandbox.has_user_namespace:
        return 0, 0
    uid, gid = sandbox.root_ids
    return uid + container.user[0], gid + container.user[1]


def owner_in(node: Node, container: Container) -> Ids:
    """The same, for a container of which the sandbox is not at hand."""
    return owner(container, node.sandboxes.find(container.sandbox_id))
