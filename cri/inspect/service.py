"""The inspection socket's connections: cri/listener.py listens, and imports this with the first one."""

from functools import partial

from cri.inspect.http import Clients
from cri.inspect.routes import answer
from cri.node import Node


def clients(node: Node) -> Clients:
    """Those of this node."""
    return Clients(partial(answer, node))
